//! Tables and numbers for people.

pub use crate::explain::count;

/// A table with columns as wide as their widest cell; numbers to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let numeric = |c: usize| {
        rows.iter().skip(1).filter_map(|r| r.get(c)).all(|s| {
            s.is_empty() || s == "-" || s.starts_with(|ch: char| ch.is_ascii_digit() || "-+.".contains(ch))
        })
    };
    let right: Vec<bool> = (0..columns).map(numeric).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(c, s)| {
                let pad = " ".repeat(widths[c] - s.chars().count());
                if right[c] { format!("{pad}{s}") } else { format!("{s}{pad}") }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number for people: four significant digits, no needless zeros.
pub fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let magnitude = x.abs().log10().floor();
    if !(-4.0..6.0).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    format!("{x:.decimals$}")
}

/// A stretch of time for people: `0.42 s`, `12 min`, `3.5 h`, `2.1 d`.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// An amount of bytes for people, in powers of ten.
pub fn bytes(amount: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = amount as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 9.95);
    format!("{value:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_told_in_the_unit_a_person_would_choose() {
        assert_eq!(
            [0.4, 75.0, 600.0, 9000.0, 259_200.0].map(span).join(" "),
            "0.40 s 75 s 10 min 2.5 h 3.0 d"
        );
        assert_eq!([7, 1200, 15_000_000].map(bytes).join(" "), "7 B 1.2 kB 15 MB");
        assert_eq!((count(1, "member"), count(0, "member")), ("1 member".into(), "0 members".into()));
    }

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let rows = [
            vec!["a".to_owned(), "n".into()],
            vec!["word".into(), "7".into()],
            vec!["b".into(), "-12".into()],
        ];
        assert_eq!(table(&rows), "a       n\nword    7\nb     -12\n");
        assert_eq!([0.000_123_4, 1234.5, 1e-9].map(short).join(" "), "0.0001234 1234 1.000e-9");
    }
}
