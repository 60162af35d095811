//! How a message is read, wherever it is read: header sections and the address lists in them. Pure,
//! bounded, without recursion.

pub(crate) mod addresses;
pub(crate) mod header;
pub(crate) mod received;
