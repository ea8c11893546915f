//! The one integration binary: rules about the house itself. Nothing here is linked into the product.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod source;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tidy_docs;
