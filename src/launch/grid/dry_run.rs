//! What carrying out a grid would do, before anything is started.

use walkdir::WalkDir;

use crate::files::{Member, Members, load_record};
use crate::launch::LaunchError;
use crate::launch::dry_run::core_time;
use crate::models::cell::Forecast;
use crate::plan::grid::{Wait, arrays};
use crate::steps::grid::{GridRun, due};
use crate::steps::timing::Timing;

/// The calls that are left, with core-hours, memory and disk where cells have run already.
///
/// # Errors
/// The disk.
pub fn text(run: &GridRun) -> Result<String, LaunchError> {
    if run.is_over() {
        return Ok("nothing: the run is over (`stop.toml`)\n".into());
    }
    let open = due::open(run);
    let all = arrays(&run.grid, &open, &|_| 1);
    let mut text = String::new();
    for (k, array) in all.iter().enumerate() {
        let first = run.grid.stages[array.stage as usize - 1].blocks[array.block as usize - 1].first;
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        let cells = Members::new(array.elements.iter().map(|e| e + first).collect());
        let after = match &array.wait {
            Wait::Nothing => String::new(),
            Wait::Each(before) => format!("    after {}, each cell after the one it stands on", before + 1),
            Wait::Whole(before) => {
                let all: Vec<String> = before.iter().map(|b| (b + 1).to_string()).collect();
                format!("    after {}", all.join(", "))
            }
        };
        text.push_str(&format!(
            "{:>4}  ekp-run-member . -i {} -m {cells}    # {}{after}\n",
            k + 1,
            array.stage,
            array.name
        ));
    }
    let after: Vec<String> = (1..=all.len()).map(|k| k.to_string()).collect();
    let after = if after.is_empty() { String::new() } else { format!("    after {}", after.join(", ")) };
    text.push_str(&format!("{:>4}  ekp-update . -i {}{after}\n", all.len() + 1, run.last_stage()));
    text.push_str(&cost(run, &open));
    Ok(text)
}

/// Core-hours, memory and disk of the open cells, stage by stage, from those that have run.
pub fn cost(run: &GridRun, open: &[Vec<Member>]) -> String {
    let mut text = String::new();
    for (stage, open) in (1..).zip(open).filter(|(_, open)| !open.is_empty()) {
        let name = &run.grid.stages[stage as usize - 1].name;
        let (mut seconds, mut peak, mut bytes, mut count) = (0.0, 0.0f64, 0, 0u32);
        for cell in 1..=run.cells(stage) {
            let folder = run.folder(stage, cell);
            if !folder.join("data.toml").exists() {
                continue;
            }
            if let Ok(timing) = load_record::<Timing>(&folder.join("timing.toml")) {
                seconds += timing.wall_s * f64::from(timing.threads);
                peak = peak.max(timing.peak_rss_mb);
                count += 1;
                let files = WalkDir::new(&folder).into_iter().flatten();
                bytes += files
                    .filter_map(|f| f.metadata().ok())
                    .filter(|m| m.is_file())
                    .map(|m| m.len())
                    .sum::<u64>();
            }
        }
        let cells = open.len();
        let forecast: Option<Vec<_>> = open.iter().map(|&cell| run.forecast(stage, cell)).collect();
        if let (0, Some(all)) = (count, &forecast) {
            let sum = |of: fn(&Forecast) -> f64| all.iter().map(of).sum::<f64>();
            text.push_str(&format!(
                "`{name}`: {cells} cells, by their options {}, {:.0} MB memory at most, about {:.1} MB disk; \
                 `ekp-run-member . -i {stage} -m {}` measures one\n",
                core_time(sum(|f| f.seconds)),
                all.iter().map(|f| f.memory_mb).fold(0.0, f64::max),
                sum(|f| f.disk_mb),
                open[0]
            ));
            continue;
        }
        if count == 0 {
            text.push_str(&format!(
                "`{name}`: {cells} cells, about {} files; none has run yet: `ekp-run-member . -i {stage} -m {}` measures one\n",
                4 * cells,
                open[0]
            ));
            continue;
        }
        let each = seconds / f64::from(count);
        text.push_str(&format!(
            "`{name}`: {cells} cells of {each:.3} s: {}, {peak:.0} MB memory at most, about {:.1} MB disk\n",
            core_time(each * cells as f64),
            bytes as f64 / f64::from(count) * cells as f64 * 1e-6
        ));
    }
    text
}
