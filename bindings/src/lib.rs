//! iosdk-bindings.
