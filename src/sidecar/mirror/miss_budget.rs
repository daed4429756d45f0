//! How many questions about unknown keys a GitLab gets from this host. Pure: time is an argument.
//!
//! A bucket that fills evenly and holds a second's worth: whoever offers strangers' keys in bulk costs the GitLab no more than that, and
//! nothing is saved up for longer.

use std::time::Duration;

use crate::model::time::BootTime;

/// What may be asked at one moment.
#[derive(Clone, Copy, Debug)]
pub struct MissBudget {
    per_second: u32,
    /// How much time is saved up, of which one question takes `1 s / per_second`.
    saved: Duration,
    last: BootTime,
}

/// Whether one more question may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It may.
    Asked,
    /// There were too many in this second.
    Refused,
}

impl MissBudget {
    /// Returns a budget of so many questions a second, full at `now`.
    #[must_use]
    pub const fn new(per_second: u32, now: BootTime) -> Self {
        Self { per_second, saved: Duration::from_secs(1), last: now }
    }

    /// Takes one question, if there is one left.
    pub fn admit(&mut self, now: BootTime) -> Admission {
        self.saved = self.saved.saturating_add(now.since(self.last)).min(Duration::from_secs(1));
        self.last = self.last.max(now);
        let Some(price) = Duration::from_secs(1).checked_div(self.per_second) else { return Admission::Refused };
        match self.saved.checked_sub(price) {
            Some(left) => {
                self.saved = left;
                Admission::Asked
            }
            None => Admission::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Admission, MissBudget};
    use crate::model::time::BootTime;

    const fn at(milliseconds: u64) -> BootTime {
        BootTime(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_second_has_its_questions_and_the_next_one_waits_for_its_time() {
        let mut budget = MissBudget::new(20, at(5000));
        let asked = (0..100).filter(|_| budget.admit(at(5000)) == Admission::Asked).count();
        assert_eq!(asked, 20);
        assert_eq!(
            (budget.admit(at(5049)), budget.admit(at(5050)), budget.admit(at(5051))),
            (Admission::Refused, Admission::Asked, Admission::Refused)
        );
        let later = (0..100).filter(|_| budget.admit(at(3_600_000)) == Admission::Asked).count();
        assert_eq!(later, 20, "an hour saves up no more than a second");
        assert_eq!(MissBudget::new(0, at(0)).admit(at(9999)), Admission::Refused, "none at all");
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_its_questions_and_those_of_one_second(
            per_second in 0..50_u32,
            gaps in prop::collection::vec(0..400_u64, 1..200),
        ) {
            let mut now = 1000;
            let mut budget = MissBudget::new(per_second, at(now));
            let mut asked_at = Vec::new();
            for gap in gaps {
                now += gap;
                if budget.admit(at(now)) == Admission::Asked {
                    asked_at.push(now);
                }
            }
            for (index, from) in asked_at.iter().enumerate() {
                for (count, to) in asked_at[index..].iter().enumerate() {
                    let most = u64::from(per_second) * (1000 + to - from) / 1000 + 1;
                    prop_assert!((count as u64) < most, "{} from {from} to {to}, at most {most}", count + 1);
                }
            }
        }
    }
}
