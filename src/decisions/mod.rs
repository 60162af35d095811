//! What is done with a recipient at RCPT and with a message at the final dot. Pure: settings,
//! detector, facts and the time go in, the decision with its reply comes out. The relay (`intake`)
//! and the replay (`replay`) both ask here, so that they cannot differ; they only carry it out.

mod message;
mod rcpt;
#[cfg(test)]
mod tests;

pub(crate) use message::{Disposition, Handling, MessageDecision, decide_message};
pub(crate) use rcpt::{RcptDecision, RcptFacts, TakenRecipients, decide_rcpt, header_may_name};
