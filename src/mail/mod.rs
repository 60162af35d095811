//! How a message is read, wherever it is read: header sections and the address lists in them. Pure,
//! bounded, without recursion.

pub mod addresses;
pub mod header;
pub mod received;
