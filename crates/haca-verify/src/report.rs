//! What a verification found: every check, done or not, and the outcome.

use core::fmt;

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// Found what was expected.
    Pass,
    /// Found something else.
    Fail,
    /// Not done; the note says why.
    NotChecked,
}

impl CheckState {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotChecked => "not checked",
        }
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable identifier: see the table in `spec/verify.md`.
    pub id: &'static str,
    /// The result.
    pub state: CheckState,
    /// What was found.
    pub found: Option<String>,
    /// What was expected, where it is a single value.
    pub expected: Option<String>,
    /// What the check means, or why it was not done; empty when the id says it all.
    pub note: &'static str,
}

/// What follows from the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every required check passed.
    Verified,
    /// A check failed.
    Rejected,
    /// No check failed, but a required one could not be done.
    Unverifiable,
}

impl Outcome {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Rejected => "rejected",
            Self::Unverifiable => "unverifiable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value that this crate has verified. There is no other way to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
}

impl<T> Verified<T> {
    /// The value.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// The value, no longer marked as verified.
    pub fn into_inner(self) -> T {
        self.value
    }
}

/// Every check of one verification and the outcome. `T` is what is verified when all is well.
#[derive(Clone, Debug)]
pub struct Report<T> {
    checks: Vec<Check>,
    outcome: Outcome,
    verified: Option<Verified<T>>,
}

impl<T> Report<T> {
    /// The checks, in the order of `spec/verify.md`.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The outcome.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What was verified; present exactly when the outcome is [`Outcome::Verified`].
    pub const fn verified(&self) -> Option<&Verified<T>> {
        self.verified.as_ref()
    }

    /// The check with this id.
    pub fn check(&self, id: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// Whether all is as somebody says, but the policy does not accept it.
    pub fn only_policy_failed(&self) -> bool {
        let mut failures = self.failures().peekable();
        failures.peek().is_some() && failures.all(|check| check.id.starts_with("policy."))
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.state == CheckState::Fail)
    }
}

/// A report in the making.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    fn push(
        &mut self,
        id: &'static str,
        state: CheckState,
        found: Option<String>,
        expected: Option<String>,
        note: &'static str,
    ) {
        self.0.push(Check {
            id,
            state,
            found,
            expected,
            note,
        });
    }

    /// The check found what it should.
    pub(crate) fn pass(&mut self, id: &'static str, found: impl fmt::Display, note: &'static str) {
        self.push(id, CheckState::Pass, Some(found.to_string()), None, note);
    }

    /// The check found something else.
    pub(crate) fn fail(
        &mut self,
        id: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
        note: &'static str,
    ) {
        self.push(
            id,
            CheckState::Fail,
            Some(found.to_string()),
            Some(expected.to_string()),
            note,
        );
    }

    /// The check was not done.
    pub(crate) fn not_checked(&mut self, id: &'static str, note: &'static str) {
        self.push(id, CheckState::NotChecked, None, None, note);
    }

    /// Passes when both are equal.
    pub(crate) fn equal<V: PartialEq + fmt::Display>(
        &mut self,
        id: &'static str,
        found: V,
        expected: V,
        note: &'static str,
    ) -> bool {
        let equal = found == expected;
        let state = if equal { CheckState::Pass } else { CheckState::Fail };
        self.push(
            id,
            state,
            Some(found.to_string()),
            Some(expected.to_string()),
            note,
        );
        equal
    }

    fn passed(&self, id: &str) -> bool {
        self.0
            .iter()
            .any(|check| check.id == id && check.state == CheckState::Pass)
    }

    /// Closes the report. A required check that no step came to is listed as not checked, so that nothing can be
    /// verified by leaving a step out.
    pub(crate) fn finish<T>(mut self, required: &[&'static str], value: Option<T>) -> Report<T> {
        for id in required {
            if !self.0.iter().any(|check| check.id == *id) {
                self.not_checked(id, "an earlier step did not pass");
            }
        }
        let failed = self.0.iter().any(|check| check.state == CheckState::Fail);
        let complete = required.iter().all(|id| self.passed(id));
        let (outcome, verified) = match (failed, complete, value) {
            (true, _, _) => (Outcome::Rejected, None),
            (false, true, Some(value)) => (Outcome::Verified, Some(Verified { value })),
            _ => (Outcome::Unverifiable, None),
        };
        Report {
            checks: self.0,
            outcome,
            verified,
        }
    }
}
