//! Sessions of the pages: a random cookie identifies a token's hash. They are kept in memory only,
//! limited in number, and expire.

use crate::types::Time;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A session ends this long after its last use.
const IDLE: Duration = Duration::from_secs(8 * 3600);
/// Most sessions; beyond that the least recently used one is dropped.
const AT_MOST: usize = 1000;

/// What a session knows. The token is looked up anew at every request, so a revoked one ends its
/// sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) struct Session {
    /// SHA-256 of the token, hex.
    pub sha256: String,
    /// Stands in every form; a form without it does nothing.
    pub csrf: String,
    used: Time,
}

/// All sessions by cookie.
#[derive(Default)]
pub(in crate::admin) struct UiSessions(Mutex<HashMap<String, Session>>);

impl UiSessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; returns its cookie.
    pub(super) fn open(&self, now: Time, sha256: String) -> std::io::Result<String> {
        let (cookie, csrf) = (super::super::token::fresh()?, super::super::token::fresh()?);
        let mut all = self.lock();
        all.retain(|_, s| now.since(s.used) < IDLE);
        if all.len() >= AT_MOST
            && let Some(oldest) = all
                .iter()
                .min_by_key(|(_, s)| s.used)
                .map(|(cookie, _)| cookie.clone())
        {
            all.remove(&oldest);
        }
        all.insert(
            cookie.clone(),
            Session {
                sha256,
                csrf,
                used: now,
            },
        );
        Ok(cookie)
    }

    /// The session of that cookie; marks it as used.
    pub(super) fn find(&self, now: Time, cookie: &str) -> Option<Session> {
        let mut all = self.lock();
        let session = all.get_mut(cookie).filter(|s| now.since(s.used) < IDLE)?;
        session.used = now;
        Some(session.clone())
    }

    pub(super) fn close(&self, cookie: &str) {
        self.lock().remove(cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_when_unused_and_are_bounded() {
        let sessions = UiSessions::default();
        let cookie = sessions.open(Time(0), "h".into()).expect("open");
        let later = Time(0).after(IDLE).before(Duration::from_secs(1));
        assert!(
            sessions.find(later, &cookie).is_some(),
            "still good, and used"
        );
        assert!(sessions.find(later.after(IDLE), &cookie).is_none(), "ended");
        let first = sessions.open(Time(1), "h".into()).expect("open");
        for _ in 0..AT_MOST {
            sessions.open(Time(2), "h".into()).expect("open");
        }
        assert!(sessions.find(Time(3), &first).is_none(), "pushed out");
        assert_eq!(sessions.lock().len(), AT_MOST);
        sessions.close("nobody");
    }
}
