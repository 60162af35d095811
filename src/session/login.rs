//! AUTH: passwords are checked off the async threads, few at once. Guesses from one network are
//! slowed down.

use super::penalties::{Admission, LoginAttempt, Penalties};
use super::turns::Turns;
use crate::identity::Login;
use crate::records::{self, Records, RecordsError};
use crate::types::Role;
use crate::types::Time;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Checks at once: each takes 19 MiB and a core for some ten milliseconds (argon2id).
const PARALLEL_CHECKS: usize = 2;

/// The result of a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoginResult {
    /// The password is right.
    Good(Login),
    /// Wrong name, password or role: 535.
    Bad,
    /// Records failed: 454, try later.
    Unknown,
    /// Too many guesses from this network, or too many waiting attempts: 454, the password was not
    /// checked.
    Busy,
}

/// Checks passwords, few at once, and slows down guesses.
pub(super) struct LoginGuard {
    turns: Turns,
    penalties: Mutex<Penalties>,
}

impl Default for LoginGuard {
    fn default() -> Self {
        Self {
            turns: Turns::new(PARALLEL_CHECKS),
            penalties: Mutex::default(),
        }
    }
}

impl LoginGuard {
    fn penalties(&self) -> MutexGuard<'_, Penalties> {
        self.penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a login; slow after failures of the same network with the same name.
    pub(super) async fn check(
        &self,
        records: &Records,
        client: IpAddr,
        user: &str,
        password: &str,
        now: Time,
    ) -> LoginResult {
        let (who, admission) = {
            let mut penalties = self.penalties();
            let who = penalties.attempt(client, user);
            let Some(admission) = penalties.admit(now, who) else {
                return LoginResult::Busy;
            };
            (who, admission)
        };
        tokio::time::sleep(admission.wait).await;
        match self.look(records, who, admission, user, password).await {
            LoginResult::Good(mut login) => {
                login.failed_before = self.penalties().succeeded(now, who, admission);
                LoginResult::Good(login)
            }
            // The failure was already counted at admission.
            LoginResult::Bad => LoginResult::Bad,
            unseen => {
                self.penalties().taken_back(who, admission);
                unseen
            }
        }
    }

    /// Checks the password in turn. The name is looked up in the same turn, and an unknown name
    /// takes as long.
    async fn look(
        &self,
        records: &Records,
        who: LoginAttempt,
        admission: Admission,
        user: &str,
        password: &str,
    ) -> LoginResult {
        let Some(turn) = self.turns.take(who.network, admission.known).await else {
            return LoginResult::Busy;
        };
        let account = match records.account(user).await {
            Ok(account) => Some(account),
            Err(RecordsError::NotFound) => None,
            Err(error) => {
                tracing::error!(?error, "accounts not readable");
                return LoginResult::Unknown;
            }
        };
        let (to_check, password) = (account.clone(), password.to_owned());
        // The work owns the turn: the turn ends with the work, even if the session no longer waits.
        let work = move || {
            let good = records::accounts::verify(to_check.as_ref(), password.as_bytes());
            drop(turn);
            good
        };
        let good = tokio::task::spawn_blocking(work).await.unwrap_or(false);
        let proven = account.filter(|account| good && account.role == Role::Smtp);
        match proven.and_then(|a| a.tenant.map(|tenant| (a.name, tenant, a.may_send_as))) {
            Some((name, tenant, may_send_as)) => LoginResult::Good(Login {
                name,
                tenant,
                may_send_as,
                failed_before: 0,
            }),
            None => LoginResult::Bad,
        }
    }
}
