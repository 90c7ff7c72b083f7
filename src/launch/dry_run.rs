//! What a launch would do, before anything is started.

use walkdir::WalkDir;

use crate::files::{RunDir, load_record};
use crate::launch::LaunchError;
use crate::plan::{Command, Due, Plan};
use crate::steps::timing::Timing;
use crate::steps::{Run, due, outcomes};

/// The calls that are left, with core-hours (where members have run already), files and disk.
///
/// # Errors
/// The disk.
pub fn text(run: &Run) -> Result<String, LaunchError> {
    let id = &run.dir.identity;
    let now = due::due(run)?;
    let (all, most) = (|at| run.dir.members(at), run.dir.most_members());
    let plan = Plan::iteration_loop(&now, id.first_iteration, run.end()?, &all, id.pack.max(most));
    let mut text = String::new();
    if run.dir.leaderless() && now != Due::Over {
        let open = outcomes::missing(run, id.first_iteration)?.len();
        return Ok(format!(
            "   1  ekp-worker . --to-end    {} of them, until none of {open} trials is left\n{}\n",
            id.members,
            cost(run, open)
        ));
    }
    if plan.tasks.is_empty() {
        return Ok("nothing: the run is over (`stop.toml`)\n".into());
    }
    for (k, task) in plan.tasks.iter().enumerate() {
        let after: Vec<String> = task.after.iter().map(|a| (a + 1).to_string()).collect();
        let after = if after.is_empty() { String::new() } else { format!("    after {}", after.join(", ")) };
        text.push_str(&format!("{:>4}  {}{after}\n", k + 1, task.command.argv().join(" ")));
    }
    let members = plan.tasks.iter().filter_map(|t| match &t.command {
        Command::Member { members, .. } => Some(members.len()),
        _ => None,
    });
    let members: usize = members.sum();
    let iterations = plan.tasks.iter().filter(|t| matches!(t.command, Command::Update { .. })).count();
    text.push_str(&format!(
        "{iterations} iterations at most, {members} members, about {} files\n{}\n",
        5 * members + 6 * iterations,
        cost(run, members)
    ));
    Ok(text)
}

/// What a member took, mean over those of the first iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Core-seconds
    pub seconds: f64,
    /// Bytes of its files
    pub bytes: f64,
}

/// What the members took that have run; none before one has.
pub fn measured(dir: &RunDir) -> Option<Measured> {
    let first = dir.iteration(dir.identity.first_iteration);
    let (mut seconds, mut count, mut bytes) = (0.0, 0, 0);
    for entry in WalkDir::new(&first).max_depth(2).into_iter().flatten() {
        bytes += entry.metadata().map_or(0, |m| m.len());
        if entry.file_name() == "timing.toml"
            && entry.depth() == 2
            && let Ok(timing) = load_record::<Timing>(entry.path())
        {
            seconds += timing.wall_s * f64::from(timing.threads);
            count += 1;
        }
    }
    let each = |sum: f64| sum / f64::from(count);
    (count > 0).then(|| Measured { seconds: each(seconds), bytes: each(bytes as f64) })
}

/// Core-hours and disk, from the members that have run.
pub fn cost(run: &Run, members: usize) -> String {
    let Some(Measured { seconds, bytes }) = measured(&run.dir) else {
        return "no member has run yet: `ekp-init --try` measures one".into();
    };
    let size = bytes * members as f64 * 1e-6;
    format!("{seconds:.3} s a member: {}, about {size:.1} MB", core_time(seconds * members as f64))
}

/// Core-hours, or core-seconds where those would be a row of zeros.
pub fn core_time(seconds: f64) -> String {
    if seconds < 360.0 {
        format!("{seconds:.1} core-seconds")
    } else {
        format!("{:.1} core-hours", seconds / 3600.0)
    }
}
