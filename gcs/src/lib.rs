//! iosdk-gcs.
