//! The lines that a replay writes: of messages and of blocks.

use super::engine::Ruling;
use super::log_line::LoggedRelease;
use super::reader::Replay;
use super::summary::{SHADOW_BLOCKS, place};
use crate::detector::ShadowDecision;
use crate::types::{Action, Block, BlockKind, Identity, Time};
use serde_json::json;
use std::sync::Arc;

impl Replay {
    /// The line of a message, behind the block it opened or met; of one from the log with what was
    /// `done` with it then.
    pub(super) fn answer(
        &mut self,
        name: &str,
        who: &Identity,
        ruling: &Ruling,
        done: Option<Action>,
    ) {
        if let Some(block) = &ruling.opened {
            self.blocked(block, who);
        }
        if let Some(block) = ruling
            .blocked_by
            .as_ref()
            .filter(|_| ruling.action == Action::Reject)
        {
            if block.kind != BlockKind::Sender {
                self.stopped(block, who);
            }
            if let Some(entry) = self
                .places
                .get(&block.reference.to_string())
                .and_then(|at| self.summary.blocks.get_mut(*at))
            {
                entry.4 += 1;
            }
        }
        let reply = match &ruling.reply {
            Some(reply) => reply.one_line(),
            None => "250 2.0.0 Accepted".to_owned(),
        };
        if let Some(count) = self.summary.actions.get_mut(place(ruling.action)) {
            *count += 1;
        }
        self.out.extend_from_slice(b"{\"id\":");
        write_text(&mut self.out, name);
        self.out.extend_from_slice(b",\"action\":\"");
        self.out
            .extend_from_slice(ruling.action.as_str().as_bytes());
        self.out.extend_from_slice(b"\",\"reply\":");
        write_text(&mut self.out, &reply);
        if let Some(done) = done {
            self.out
                .extend_from_slice(format!(",\"done\":\"{}\"", done.as_str()).as_bytes());
        }
        if let Some(shadow_decision) = &ruling.shadow_decision {
            self.shadow(who, shadow_decision);
        }
        self.out.extend_from_slice(b"}\n");
    }

    /// What a policy in shadow mode would have done, in the line of the message and in the summary.
    fn shadow(&mut self, who: &Identity, shadow_decision: &ShadowDecision) {
        let word = json!({ "policy": shadow_decision.policy, "action": shadow_decision.action, "reason": shadow_decision.reason, "opens_block": shadow_decision.opens });
        self.out
            .extend_from_slice(format!(",\"shadow\":{word}").as_bytes());
        let shadow = self
            .summary
            .shadows
            .entry(shadow_decision.policy.clone())
            .or_default();
        if let Some(count) = shadow.actions.get_mut(place(shadow_decision.action)) {
            *count += 1;
        }
        if shadow_decision.action != Action::Accept {
            *shadow
                .reasons
                .entry(shadow_decision.reason.as_str())
                .or_default() += 1;
        }
        if shadow_decision.opens && shadow.blocks.len() < SHADOW_BLOCKS {
            shadow
                .blocks
                .push((who.address.to_string(), shadow_decision.reason.as_str()));
        }
    }

    /// A block was opened.
    pub(super) fn blocked(&mut self, block: &Arc<Block>, who: &Identity) {
        self.open.insert(named(block), Arc::clone(block));
        let reference = block.reference.to_string();
        self.places
            .insert(reference.clone(), self.summary.blocks.len());
        self.summary.blocks.push((
            reference.clone(),
            block.kind.as_str(),
            block.subject.clone(),
            block.reason.as_str(),
            1,
        ));
        self.told.insert((reference, who.key.clone()));
        self.block_line("blocked", block, Some(who));
    }

    /// An account is stopped by a wider block: told once.
    fn stopped(&mut self, block: &Block, who: &Identity) {
        if self
            .told
            .insert((block.reference.to_string(), who.key.clone()))
        {
            self.block_line("blocked", block, Some(who));
        }
    }

    pub(super) fn ended(&mut self, block: &Block) {
        let reference = block.reference.to_string();
        self.open.remove(&named(block));
        self.told.retain(|(r, _)| *r != reference);
        self.block_line("released", block, None);
    }

    fn block_line(&mut self, event: &str, block: &Block, who: Option<&Identity>) {
        let time = if event == "released" {
            block.ended_at.unwrap_or(block.opened_at)
        } else {
            self.engine.now()
        };
        let sender = who
            .map(|w| &*w.address)
            .or_else(|| (block.kind == BlockKind::Sender).then_some(block.subject.as_str()));
        let line = json!({
            "event": event, "ref": block.reference, "kind": block.kind, "subject": block.subject, "tenant": block.tenant,
            "sender": sender, "time": seconds(time), "reason": block.reason, "explanation": block.explanation,
            "evidence": block.evidence,
        });
        self.out.extend_from_slice(line.to_string().as_bytes());
        self.out.push(b'\n');
    }
}

/// How a log names a block.
fn named(block: &Block) -> LoggedRelease {
    let tenant = block
        .tenant
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    LoggedRelease {
        kind: block.kind.as_str().to_owned(),
        subject: block.subject.clone(),
        tenant,
    }
}

/// Seconds since the epoch, without a fraction where there is none.
fn seconds(time: Time) -> serde_json::Value {
    if time.0 % 1000 == 0 {
        json!(time.as_secs())
    } else {
        json!(time.0 as f64 / 1000.0)
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail.
    let _written = serde_json::to_writer(out, text);
}
