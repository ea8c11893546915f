//! iosdk-store.
