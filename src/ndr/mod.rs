//! Non-delivery reports (RFC 3464, RFC 6522): when and what to tell the sender. Pure.
