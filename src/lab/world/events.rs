//! The mail of a simulated world as the JSON lines that `outgate replay` reads.

use super::attack::AttackKind;
use super::people::{PlannedMail, To};
use crate::types::{Action, Identity, MessageId};
use serde_json::json;
use std::io::{self, Write};

/// Writes events. The first error is kept, after it nothing is written.
pub(crate) struct Events<'a> {
    out: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl<'a> Events<'a> {
    /// Writes events to `out`, one line each.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, failed: None }
    }

    /// Ends it.
    ///
    /// # Errors
    /// Something could not be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.failed.map_or_else(|| self.out.flush(), Err)
    }

    /// A message with what was decided and the attack it belongs to, in fields that a replay passes
    /// over.
    pub(super) fn message(
        &mut self,
        mail: &PlannedMail,
        id: MessageId,
        who: &Identity,
        to: &[To],
        decided: Action,
        attack: Option<AttackKind>,
    ) {
        let recipients: Vec<String> = to.iter().map(address).collect();
        self.line(&json!({
            "type": "message", "time": seconds(mail.time), "id": id, "tenant": who.tenant, "sender": who.address,
            "client_ip": who.client, "recipients": recipients, "llr": mail.llr, "template": format!("0x{:016x}", mail.template), "decided": decided,
            "attack": attack.map(AttackKind::name),
        }));
    }

    /// Writes what became of one recipient.
    pub(super) fn outcome(&mut self, time: i64, id: MessageId, to: &To) {
        let (status, code, enhanced, text) = if to.bounces {
            ("bounced", 550, "5.1.1", "User unknown")
        } else {
            ("delivered", 250, "2.0.0", "OK")
        };
        self.line(&json!({
            "type": "outcome", "time": seconds(time), "id": id, "recipient": address(to), "status": status, "code": code,
            "enhanced": enhanced, "text": text,
        }));
    }

    fn line(&mut self, line: &serde_json::Value) {
        if self.failed.is_none()
            && let Err(error) = writeln!(self.out, "{line}")
        {
            self.failed = Some(error);
        }
    }
}

fn seconds(time: i64) -> f64 {
    time as f64 / 1000.0
}

fn address(to: &To) -> String {
    format!("r{:x}@recipients.example", to.address)
}
