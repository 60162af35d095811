//! Whether what a session was let in by still holds: its login, its `[[client]]`, the proxy it came
//! through. What was taken away or changed meanwhile ends the session with its next command.

use super::Sessions;
use crate::config::Settings;
use crate::config::settings::ListenerKind;
use crate::identity::{self, Peer};
use crate::records::{Account, RecordsError};
use crate::types::Reply;
use crate::types::replies;
use std::net::IpAddr;
use std::sync::Arc;

/// A listener: its place among the settings, which a reload leaves as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    pub(super) place: usize,
    pub(super) kind: ListenerKind,
}

impl Door {
    /// Whether a peer at this address must send a PROXY header, and is believed.
    pub(super) fn is_proxy(self, settings: &Settings, address: IpAddr) -> bool {
        let listener = settings.listeners.get(self.place);
        listener.is_some_and(|l| {
            l.proxy_protocol
                .iter()
                .any(|network| network.contains(&address))
        })
    }
}

/// How a connection came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entrance {
    pub(super) door: Door,
    /// Address of the other end of the connection: of the proxy, where there is one.
    pub(super) from: IpAddr,
    /// The client's address was taken from its PROXY header.
    pub(super) by_proxy: bool,
}

/// What a session stands on.
pub(super) struct Standing<'a> {
    sessions: &'a Sessions,
    pub(super) entrance: Entrance,
    /// By which all but the login was checked last.
    settings: Arc<Settings>,
    /// The account behind the login, as it was read before its password was checked.
    account: Option<Account>,
}

impl<'a> Standing<'a> {
    /// Of a session let in by these settings.
    pub(super) const fn new(
        sessions: &'a Sessions,
        entrance: Entrance,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            sessions,
            entrance,
            settings,
            account: None,
        }
    }

    /// The session has logged in with this account; `None`: the login is gone.
    pub(super) fn logged_in(&mut self, account: Option<Account>) {
        self.account = account;
    }

    /// The reply that ends the session, where what it was let in by holds no more. 421: whoever is
    /// still welcome comes again.
    pub(super) async fn lost(&mut self, peer: &Peer) -> Option<Reply> {
        let ended = |what: &str| Some(replies::grant_changed(what));
        if let Some(what) = self.lost_by_settings(peer) {
            return ended(what);
        }
        let login = peer.login.as_ref()?;
        match self.sessions.intake.records.account(&login.name).await {
            Ok(account) if self.account.as_ref() == Some(&account) => None,
            Ok(_) | Err(RecordsError::NotFound) => ended("Your login"),
            Err(error) => {
                tracing::error!(?error, "accounts not readable");
                Some(replies::LOCAL_ERROR_CLOSING.into())
            }
        }
    }

    /// What the settings in force do not grant any more; looked at only where they have changed.
    fn lost_by_settings(&mut self, peer: &Peer) -> Option<&'static str> {
        let now = self.sessions.intake.settings.borrow();
        if Arc::ptr_eq(&now, &self.settings) {
            return None;
        }
        let Entrance {
            door,
            from,
            by_proxy,
        } = self.entrance;
        let lost = if by_proxy != door.is_proxy(&now, from) {
            Some("The proxy protocol of this listener")
        } else if peer.client.is_some() && identity::find_client(&now, peer.address) != peer.client
        {
            Some("Your entry among the clients")
        } else {
            None
        };
        if lost.is_none() {
            self.settings = Arc::clone(&now);
        }
        lost
    }
}
