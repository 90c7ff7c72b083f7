//! The posterior as a table: of each parameter the prior, the result, and the truth where it is known.

use std::path::Path;

use crate::files::FileError;
use crate::report::ReportError;
use crate::report::metrics::quantile;
use crate::report::story::Story;

/// Shares of the members below the numbers of the table.
const SHARES: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95];

/// A line for each parameter, with its sounding where the model has such; none where nothing was learnt yet.
pub(super) fn csv(story: &Story) -> Option<String> {
    story.updates.first()?;
    let last = story.ensembles.last()?;
    let soundings = story.soundings.as_ref().filter(|s| s.names.len() > 1);
    let mut text = String::new();
    if soundings.is_some() {
        text.push_str("sounding,");
    }
    text.push_str("parameter,prior_mean,prior_sd,prior_p10,prior_p50,prior_p90,mean,sd");
    SHARES.iter().for_each(|q| text.push_str(&format!(",p{:02.0}", 100.0 * q)));
    text.push_str(",truth\n");
    for (i, name) in story.parameters.iter().enumerate() {
        let numbers = |m: &crate::numerics::Mat| -> Vec<f64> {
            let mut all: Vec<f64> = (0..m.ncols()).map(|j| m[(i, j)]).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (before, after) = (numbers(&story.prior), numbers(last));
        let (a, b) = (mean_and_sd(&before), mean_and_sd(&after));
        let mut row = vec![a.0, a.1];
        row.extend([0.1, 0.5, 0.9].map(|q| quantile(&before, q)));
        row.extend([b.0, b.1]);
        row.extend(SHARES.map(|q| quantile(&after, q)));
        row.push(story.truth[i]);
        let owner = soundings.and_then(|s| s.names.iter().find(|s| name.starts_with(s.as_str())));
        if soundings.is_some() {
            text.push_str(owner.map_or("", |s| s.trim_end_matches('_')));
            text.push(',');
        }
        let own = owner.map_or(name.as_str(), |s| &name[s.len()..]);
        text.push_str(&if own.contains(',') { format!("\"{own}\"") } else { own.to_owned() });
        for x in row {
            text.push(',');
            if x.is_finite() {
                text.push_str(&format!("{x:?}"));
            }
        }
        text.push('\n');
    }
    Some(text)
}

/// Mean and standard deviation, of n − 1.
fn mean_and_sd(all: &[f64]) -> (f64, f64) {
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    (mean, (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

impl Story {
    /// Take what is known of the parameters from a CSV table: a column for each, by its name; of soundings also by the
    /// name without that of the sounding, a line for each sounding in order. What the table does not have stays unknown.
    ///
    /// # Errors
    /// The file cannot be read, has something else than a number, or no column that is a parameter.
    pub fn know(&mut self, path: &Path) -> Result<(), ReportError> {
        let text = std::fs::read_to_string(path).map_err(FileError::io("read", path))?;
        let lines: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|line| line.split(',').map(str::trim).collect())
            .collect();
        let refused = |what: String| ReportError::Refused {
            what: format!("`{}` {what}", path.display()),
            hint: format!(
                "a table of what is known has columns such as `{}`, and a number in each cell",
                self.parameters.first().map_or("", String::as_str)
            ),
        };
        let Some((head, rows)) = lines.split_first() else { return Err(refused("is empty".into())) };
        let names = self.soundings.as_ref().map_or(&[][..], |s| s.names.as_slice());
        let place = |parameter: &str| -> Option<(usize, usize)> {
            if let Some(column) = head.iter().position(|h| *h == parameter) {
                return Some((0, column));
            }
            let sounding = names.iter().position(|s| !s.is_empty() && parameter.starts_with(s.as_str()))?;
            let own = &parameter[names[sounding].len()..];
            head.iter().position(|h| *h == own).map(|column| (sounding, column))
        };
        let mut found = 0;
        for (i, parameter) in self.parameters.iter().enumerate() {
            let Some((row, column)) = place(parameter) else { continue };
            let Some(line) = rows.get(row) else { continue };
            let text = line.get(column).copied().unwrap_or("");
            self.truth[i] = match text.parse::<f64>() {
                Ok(x) if x.is_finite() => x,
                _ => return Err(refused(format!("has `{text}` for `{parameter}` in line {}", row + 2))),
            };
            found += 1;
        }
        if found == 0 {
            return Err(refused("has no column that is a parameter of this run".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::soundings::Soundings;
    use crate::numerics::Mat;

    fn story(parameters: &[&str], soundings: &[&str]) -> Story {
        let d = parameters.len();
        Story {
            name: "x".into(),
            parameters: parameters.iter().map(|p| (*p).to_owned()).collect(),
            updates: Vec::new(),
            iterations: Vec::new(),
            ensembles: vec![Mat::from_fn(d, 3, |i, j| (10 * i + j) as f64)],
            prior: Mat::from_fn(d, 3, |_, j| j as f64),
            fits: Vec::new(),
            soundings: (!soundings.is_empty()).then(|| Soundings {
                names: soundings.iter().map(|s| (*s).to_owned()).collect(),
                layers: 1,
                fixed: Vec::new(),
                curves: Vec::new(),
            }),
            truth: vec![f64::NAN; d],
            shown: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_is_known_is_found_by_name_and_by_sounding() {
        let folder = std::env::temp_dir().join(format!("ekp-truth-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("truth.csv");
        let mut line = story(&["s001_rho1", "s002_rho1", "noise"], &["s001_", "s002_"]);
        std::fs::write(&path, "# an earth\nrho1,h1\n30,1\n40,2\n").unwrap();
        line.know(&path).unwrap();
        assert_eq!(line.truth[..2], [30.0, 40.0]);
        assert!(line.truth[2].is_nan(), "the table says nothing of it");
        let mut plain = story(&["a", "b"], &[]);
        std::fs::write(&path, "b\n7.5\n").unwrap();
        plain.know(&path).unwrap();
        assert_eq!(plain.truth[1], 7.5);
        std::fs::write(&path, "c\n1\n").unwrap();
        assert!(plain.know(&path).unwrap_err().to_string().contains("no column"));
        std::fs::write(&path, "a\nx\n").unwrap();
        assert!(plain.know(&path).unwrap_err().to_string().contains("`x` for `a` in line 2"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_table_without_a_step_is_none() {
        assert_eq!(csv(&story(&["a"], &[])), None);
    }
}
