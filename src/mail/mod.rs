//! How a message is read: where its header ends, where its parts begin, how they are encoded, and
//! whom its addresses name. Pure, bounded, without recursion.

pub(crate) mod addresses;
pub(crate) mod charset;
pub(crate) mod encoding;
pub(crate) mod header;
pub(crate) mod mime;
pub(crate) mod received;
