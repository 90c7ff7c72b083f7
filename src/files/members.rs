//! A set of members as people write it: `7`, `1-64`, `3,7,9`.

use std::fmt;
use std::str::FromStr;

/// Members, counted from 1, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(Vec<u32>);

/// Why a text names no members.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` names no members{why}; allowed: `7`, `1-64` or `3,7,9`, counted from 1")]
pub struct MembersError {
    found: String,
    why: &'static str,
}

impl Members {
    /// The given ones.
    pub fn new(mut members: Vec<u32>) -> Self {
        members.sort_unstable();
        members.dedup();
        Self(members)
    }

    /// 1 to `last`.
    pub fn all(last: u32) -> Self {
        Self((1..=last).collect())
    }

    /// The members of array element `element` (from 1) when each runs `per_element` of `total`: a block.
    pub fn of_element(element: u32, per_element: u32, total: u32) -> Self {
        let first = u64::from(element.saturating_sub(1)) * u64::from(per_element) + 1;
        let last = (first + u64::from(per_element) - 1).min(u64::from(total));
        Self((first..=last).map(|m| u32::try_from(m).expect("a member is at most `total`")).collect())
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest.
    pub fn last(&self) -> Option<u32> {
        self.0.last().copied()
    }
}

impl FromStr for Members {
    type Err = MembersError;
    fn from_str(text: &str) -> Result<Self, MembersError> {
        let because = |why| MembersError { found: text.to_owned(), why };
        let wrong = || because("");
        let mut members = Vec::new();
        for part in text.split(',') {
            let number = |s: &str| s.trim().parse::<u32>().ok().filter(|&m| m >= 1).ok_or_else(wrong);
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(because(": the first of a range is larger than the last"));
            }
            if last - first > 10_000_000 {
                return Err(because(": a range has at most 10000000"));
            }
            members.extend(first..=last);
        }
        Ok(Self::new(members))
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|(a, b)| **a == *b).count();
            let last = rest[run - 1];
            if run == 1 {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_read_and_print() {
        for text in ["7", "1-64", "3,7,9", "1-3,5,9-10"] {
            assert_eq!(text.parse::<Members>().unwrap().to_string(), text);
        }
        for text in ["", "0", "a", "3-1", "1,,2", "-3", "1-", "99999999999"] {
            assert!(text.parse::<Members>().is_err(), "{text}");
        }
    }

    #[test]
    fn elements_cover_all_members_once() {
        let mut all: Vec<u32> = (1..=5).flat_map(|e| Members::of_element(e, 8, 35).0).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=35).collect::<Vec<_>>());
        assert!(Members::of_element(6, 8, 35).is_empty());
    }
}
