//! Numbers between white space; `#` starts a comment.

use crate::models::external::output::{Found, not_a_number, number};

/// All numbers of a text, one after the other; `#` begins a comment.
pub(crate) fn numbers(text: &str) -> Result<Found, String> {
    let mut all = Vec::new();
    for (k, line) in text.lines().enumerate() {
        let content = line.split('#').next().unwrap_or("");
        for word in content.split_whitespace() {
            let x = number(word).ok_or_else(|| format!("line {}: {}", k + 1, not_a_number(word)))?;
            all.push(x);
        }
    }
    Ok(Found::Whole(all))
}
