//! iosdk-raylet.
