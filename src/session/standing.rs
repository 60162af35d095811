//! Checks whether the grounds on which a session was admitted still hold: its login, its
//! `[[client]]`, its proxy. If one was removed or changed, the next command ends the session.

use super::Sessions;
use crate::config::Settings;
use crate::config::settings::ListenerKind;
use crate::identity::{self, Peer};
use crate::records::{Account, RecordsError};
use crate::types::Reply;
use crate::types::replies;
use std::net::IpAddr;
use std::sync::Arc;

/// A listener: its place in the settings, which a reload does not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    pub(super) place: usize,
    pub(super) kind: ListenerKind,
}

impl Door {
    /// Whether a peer at this address must send a PROXY header, which is then trusted.
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
    /// Address of the other end of the connection: the proxy's, if there is one.
    pub(super) from: IpAddr,
    /// The client's address comes from a PROXY header.
    pub(super) by_proxy: bool,
}

/// The grounds on which a session was admitted.
pub(super) struct Standing<'a> {
    sessions: &'a Sessions,
    pub(super) entrance: Entrance,
    /// The settings of the last check of everything except the login.
    settings: Arc<Settings>,
    /// The account of the login, as read before the password check.
    account: Option<Account>,
}

impl<'a> Standing<'a> {
    /// For a session admitted under these settings.
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

    /// The session has logged in with this account; `None`: there is no such account any more, or
    /// it cannot be read.
    pub(super) fn logged_in(&mut self, account: Option<Account>) {
        self.account = account;
    }

    /// The reply that ends the session if its grounds no longer hold. 421: a client that is still
    /// allowed connects again.
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

    /// The ground that the current settings no longer grant; checked only if they have changed.
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
