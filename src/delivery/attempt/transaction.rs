//! Sends a message over one open connection: transactions, and what their verdicts mean for the
//! recipients and for the connection.

use super::{AttemptJob, FAREWELL, MESSAGES_PER_CONNECTION, Next};
use crate::delivery::Reached;
use crate::delivery::connection::Connection;
use crate::delivery::outcome::{is_one_too_many, may_be_of_session, outcome};
use crate::delivery::pool::PoolKey;
use crate::smtp::client::{ClientStep, StepReply};
use crate::smtp::reply::shorten;
use crate::types::{RecipientOutcome, RecipientStatus};

/// The state of a connection after a transaction.
enum ConnectionTrouble {
    None,
    /// It broke before the end of the message was sent.
    Broken,
    /// It has carried mail before, and the server may have reached a limit for it: a new connection
    /// may work.
    Worn,
    /// The server ended it at RCPT after it had accepted other recipients: a new connection may
    /// work with fewer.
    Crowded,
    /// The server said 421.
    Closing(StepReply),
}

impl AttemptJob<'_> {
    /// Sends the message over this connection, in as many transactions as the server's limits
    /// require.
    pub(super) async fn use_connection(
        &mut self,
        mut connection: Connection,
        key: &PoolKey,
        generation: u64,
    ) -> Next {
        let caps = connection.client().capabilities();
        let (relayed_dsn, per_transaction) = (caps.dsn, caps.recipients_per_transaction());
        let most = caps
            .mail_max
            .unwrap_or(MESSAGES_PER_CONNECTION)
            .min(MESSAGES_PER_CONNECTION);
        let mut trouble = ConnectionTrouble::None;
        while matches!(trouble, ConnectionTrouble::None)
            && !self.undecided.is_empty()
            && connection.client().is_open()
            && connection.transactions() < most
        {
            let count = self.undecided.len().min(per_transaction).min(self.crowd);
            let chunk: Vec<u32> = self.undecided.drain(..count).collect();
            let (accepted, verdicts) = connection
                .transact(&self.envelope, &chunk, self.content, &self.attempt.body)
                .await;
            trouble = self.take_verdicts(verdicts, &connection, relayed_dsn, accepted);
        }
        let (remote, fresh) = (
            connection.remote().to_owned(),
            connection.transactions() == 1,
        );
        if connection.client().is_open() {
            if matches!(trouble, ConnectionTrouble::Worn) {
                // QUIT goes out before the next connection opens, so that a server that counts
                // connections does not count both.
                let farewell = tokio::spawn(connection.quit());
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
            } else if connection.transactions() < most {
                let per_key = self.pool_settings().connections_per_destination;
                self.shared.pool.put(
                    key.clone(),
                    connection,
                    generation,
                    per_key,
                    self.shared.limits.idle,
                );
            } else {
                tokio::spawn(connection.quit());
            }
        }
        match trouble {
            _ if self.undecided.is_empty() => Next::Stop,
            // The host works: the connection has only carried as much as it may.
            ConnectionTrouble::None | ConnectionTrouble::Worn | ConnectionTrouble::Crowded => {
                Next::Again {
                    in_plain_text: false,
                }
            }
            // A connection that worked before may have died unnoticed: its failure says nothing
            // about the host.
            ConnectionTrouble::Broken if !fresh => Next::Again {
                in_plain_text: false,
            },
            ConnectionTrouble::Broken => Next::OtherTarget,
            // RFC 5321 section 3.8: temporary for all undecided recipients.
            ConnectionTrouble::Closing(verdict) => {
                let (status, class) = outcome(&verdict);
                self.give_up(status, class, &verdict.reply, &remote);
                Next::Stop
            }
        }
    }

    /// Records verdicts. A recipient stays undecided if its connection broke before the end of the
    /// message was sent (the server cannot have accepted the message), or if another connection or
    /// transaction may succeed. After the end of the message a recipient is deferred in this
    /// attempt, since another host might deliver the message twice.
    fn take_verdicts(
        &mut self,
        verdicts: Vec<(u32, StepReply)>,
        connection: &Connection,
        dsn: bool,
        accepted: usize,
    ) -> ConnectionTrouble {
        let fresh = connection.transactions() == 1;
        let given = verdicts.len();
        // Too many recipients are no trouble if at least one accepted recipient gets a final
        // answer.
        let decided =
            |v: &StepReply| v.step >= ClientStep::Data && outcome(v).0 != RecipientStatus::Pending;
        let goes_on = verdicts.iter().any(|(_, v)| is_one_too_many(v))
            && verdicts.iter().any(|(_, v)| decided(v));
        let mut trouble = ConnectionTrouble::None;
        if fresh {
            self.reach = Reached::Transaction;
        }
        for (recipient, verdict) in verdicts {
            let ended = verdict.lost || verdict.reply.code == 421;
            let retry = if goes_on && is_one_too_many(&verdict) {
                Some(ConnectionTrouble::None)
            } else if fresh
                && ended
                && verdict.step == ClientStep::Rcpt
                && (1..given).contains(&accepted)
            {
                Some(ConnectionTrouble::Crowded)
            } else if verdict.lost && verdict.step < ClientStep::Dot {
                Some(ConnectionTrouble::Broken)
            } else {
                (!fresh && may_be_of_session(&verdict)).then_some(ConnectionTrouble::Worn)
            };
            if let Some(retry) = retry {
                match retry {
                    ConnectionTrouble::None | ConnectionTrouble::Crowded => {
                        self.crowd = self.crowd.min(accepted.max(1))
                    }
                    _ => {}
                }
                if !matches!(retry, ConnectionTrouble::None) {
                    trouble = retry;
                }
                self.undecided.push(recipient);
                self.last = Some((verdict, connection.remote().to_owned()));
                continue;
            }
            self.reach = Reached::Transaction;
            if verdict.reply.code == 421 {
                trouble = ConnectionTrouble::Closing(verdict.clone());
            }
            let (status, class) = outcome(&verdict);
            let relayed_dsn = dsn && status == RecipientStatus::Delivered;
            let remote = connection.remote().to_owned();
            self.outcomes.push(RecipientOutcome {
                recipient,
                status,
                class,
                reply: shorten(verdict.reply),
                remote,
                relayed_dsn,
            });
        }
        trouble
    }
}
