//! iosdk-it.
