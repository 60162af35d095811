//! Sockets, TLS and limits around the pure SMTP server.
