//! Telling people: mail through our own queue, webhook.
