//! Log fields, metrics, redaction.
