//! Receives messages, after DATA and in chunks.

use super::{OpenTransaction, PendingQuestion, Question, Server, SessionState, Step};
use crate::smtp::bdat::ChunkReader;
use crate::smtp::content::Content;
use crate::smtp::data::DataReader;
use crate::types::replies::{self, FixedReply};

/// Largest chunk that is read to its end even if it is refused.
const UNWANTED_CHUNK_OCTETS: u64 = 128 * 1024 * 1024;

impl Server {
    const fn new_content(&self) -> Content {
        let size = match &self.transaction {
            Some(transaction) => transaction.size,
            None => 0,
        };
        Content::new(self.config.message_size_bytes, self.config.line_bytes).expecting(size)
    }

    /// Why no message can be received now; `None` if one can.
    fn no_message(&self) -> Option<FixedReply> {
        match &self.transaction {
            None if self.hello.is_none() => Some(replies::HELO_FIRST),
            None => Some(replies::MAIL_FIRST),
            // RFC 5321 section 3.3: 503 or 554. After RCPTs that were all refused it is 554, never
            // 354 (RFC 2920).
            Some(t) if t.envelope.recipients.is_empty() && t.rcpt_seen => {
                Some(replies::NO_RECIPIENTS)
            }
            Some(t) if t.envelope.recipients.is_empty() => Some(replies::RCPT_FIRST),
            Some(_) => None,
        }
    }

    pub(super) fn on_data(&mut self) {
        if self
            .transaction
            .as_ref()
            .is_some_and(|t| t.content.is_some())
        {
            // DATA and BDAT cannot be mixed in one message (RFC 3030 section 2).
            self.fail(replies::IN_BDAT);
        } else if let Some(reply) = self.no_message() {
            self.fail(reply);
        } else {
            self.write(&replies::data_go());
            self.state = SessionState::Data(DataReader::new(self.new_content()));
        }
    }

    pub(super) fn read_data(&mut self) -> Option<Step> {
        let SessionState::Data(reader) = &mut self.state else {
            return None;
        };
        let (rest, done) = reader.read(self.input.get(self.used..).unwrap_or_default());
        self.used = self.input.len().saturating_sub(rest.len());
        if let Some(reply) = reader.content().runaway().cloned() {
            self.end(&reply);
            return None;
        }
        if !done {
            return Some(self.want_more());
        }
        match std::mem::replace(&mut self.state, SessionState::Command) {
            SessionState::Data(reader) => self.finish(reader.into_content()),
            _ => None,
        }
    }

    /// A chunk without a transaction is read, too (RFC 3030 section 2), and answered at its end.
    pub(super) fn on_bdat(&mut self, size: u64, last: bool) {
        if size > UNWANTED_CHUNK_OCTETS.max(self.config.message_size_bytes.saturating_mul(2)) {
            self.fail_and_close(replies::TOO_LARGE);
            return;
        }
        let kept = self.transaction.as_mut().and_then(|t| t.content.take());
        // Without SIZE, the chunk announces the size.
        let mut content = kept.unwrap_or_else(|| match self.new_content() {
            content if self.transaction.as_ref().is_some_and(|t| t.size > 0) => content,
            content => content.expecting(size),
        });
        if let Some(reply) = self.no_message() {
            content.refuse(reply);
        } else if content.would_exceed(size) {
            content.refuse(replies::TOO_LARGE);
        }
        self.state = SessionState::Chunk(ChunkReader::new(content, size, last));
    }

    pub(super) fn read_chunk(&mut self) -> Option<Step> {
        let SessionState::Chunk(reader) = &mut self.state else {
            return None;
        };
        let (rest, done) = reader.read(self.input.get(self.used..).unwrap_or_default());
        self.used = self.input.len().saturating_sub(rest.len());
        if !done {
            return Some(self.want_more());
        }
        let SessionState::Chunk(reader) = std::mem::replace(&mut self.state, SessionState::Command)
        else {
            return None;
        };
        let last = reader.is_last();
        let content = reader.into_content();
        if last || content.refusal().is_some() {
            // After a refusal the other chunks have no transaction and are answered 503 (RFC 3030
            // section 2).
            return self.finish(content);
        }
        self.write(&replies::octets_so_far(content.octets()));
        if let Some(transaction) = &mut self.transaction {
            transaction.content = Some(content);
        }
        None
    }

    /// Handles a complete or refused message.
    fn finish(&mut self, content: Content) -> Option<Step> {
        match (content.finish(), self.transaction.take()) {
            (Ok(body), Some(OpenTransaction { envelope, .. })) => Some(self.ask(
                PendingQuestion::Message,
                Question::Message { envelope, body },
            )),
            (Ok(_), None) => {
                self.fail(replies::MAIL_FIRST);
                None
            }
            (Err(reply), transaction) => {
                self.dropped = transaction.is_some();
                // A lack of memory on our side is no error of the client. Nor are chunks that the
                // client sent before it saw a refusal.
                self.count_refusal(
                    self.is_stranger() && transaction.is_some() && reply.is_permanent(),
                );
                self.count_idle();
                self.write(&reply);
                self.refused = transaction.is_some().then_some(reply);
                None
            }
        }
    }
}
