//! Features of the newest messages, so that a label that comes later still teaches.

use super::SharedLesson;
use crate::types::{MessageId, TenantId};
use std::collections::{HashMap, VecDeque};

/// Octets kept in all. At 8 KB for a usual message these are the last 8000.
pub(super) const OCTETS: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct RecentLessons {
    lessons: HashMap<MessageId, (TenantId, SharedLesson)>,
    order: VecDeque<MessageId>,
    octets: usize,
}

fn octets(lesson: &SharedLesson) -> usize {
    let sample = &lesson.sample;
    4 * (sample.words.len() + sample.pairs.len() + sample.grams.len())
        + 8 * sample.dense.len()
        + 128
}

impl RecentLessons {
    pub(super) fn push(&mut self, id: MessageId, tenant: &TenantId, lesson: &SharedLesson) {
        self.octets += octets(lesson);
        if let Some((_, old)) = self.lessons.insert(id, (tenant.clone(), lesson.clone())) {
            self.octets -= octets(&old);
        } else {
            self.order.push_back(id);
        }
        while self.octets > OCTETS
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some((_, gone)) = self.lessons.remove(&oldest) {
                self.octets -= octets(&gone);
            }
        }
    }

    /// The features, if it was a message of that tenant.
    pub(super) fn get(&self, id: MessageId, tenant: &TenantId) -> Option<SharedLesson> {
        self.lessons
            .get(&id)
            .filter(|(owner, _)| owner == tenant)
            .map(|(_, lesson)| lesson.clone())
    }
}
