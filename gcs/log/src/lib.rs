//! The event log: what the GCS must not forget, as bytes in and bytes out.
