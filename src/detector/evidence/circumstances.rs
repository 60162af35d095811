//! Evidence from the circumstances of a message: network, hour and wrong passwords.

use super::Case;
use crate::detector::state::baseline::SenderClass;
use crate::detector::state::habits::Circumstances;
use crate::detector::state::sender::Sender;

impl Sender {
    /// At most `most` nats, because circumstances alone say nothing. They count only for persons:
    /// programs move from host to host and send at all hours.
    pub(super) fn weigh_circumstances(&self, case: &Case<'_>, most: f64) -> Circumstances {
        if case.class != SenderClass::Person || most <= 0.0 {
            return Circumstances::default();
        }
        self.habits
            .weigh(self.messages, case.message.setting, case.context.tuning)
            .at_most(most)
    }
}
