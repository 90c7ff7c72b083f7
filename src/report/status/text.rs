//! Where a run stands, in words: read at midnight, so the answer first, then the table, then what to type.

use std::fmt::Write as _;

use crate::report::runs::word;
use crate::report::status::{Failures, Job, Row, SearchSeen, State, Status};
use crate::report::table::{count, short, span, table};

/// Groups of failures shown without `-v`.
const GROUPS: usize = 8;
/// Messages of one group shown without `-v`.
const MESSAGES: usize = 3;
/// Lines of stderr shown.
const LINES: usize = 4;

/// How much is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Telling {
    /// Everything
    pub all: bool,
    /// Every job
    pub jobs: bool,
}

/// One run.
pub fn one(s: &Status, telling: Telling) -> String {
    let with = match &s.batch {
        Some(batch) => {
            let models = count(batch.models as usize, "model");
            format!("{models} in {}", count(s.members as usize, "chunk"))
        }
        None => {
            let who = if s.method == "dds-async" { "worker" } else { "member" };
            let most = match &s.search {
                Some(search) => count(search.budget as usize, "evaluation"),
                None => count(s.iterations_at_most as usize, "iteration"),
            };
            format!("{}, at most {most}", count(s.members as usize, who))
        }
    };
    let mut t = format!("{}: {} with {with}\n{}\n", s.name, s.method, s.sentence);
    if let Some(pid) = s.launcher {
        let _ = writeln!(t, "`ekp-launch` is at work on it (process {pid} on this machine)");
    }
    for warning in &s.warnings {
        let _ = writeln!(t, "warning: {warning}");
    }
    if !s.result.is_empty() {
        let _ = write!(t, "\n{}", result(s));
        if let Some(folder) = &s.final_ensemble {
            let _ = writeln!(t, "ensemble of the result: {folder}");
        }
    }
    if let Some(search) = &s.search {
        let _ = write!(t, "\n{}", found(search));
    }
    match &s.batch {
        Some(batch) => t.push_str(&batch.text()),
        None if !s.iterations.is_empty() => {
            let _ = write!(t, "\n{}", iterations(&s.iterations, s.search.is_some(), telling));
        }
        None => {}
    }
    blocks(&mut t, s, telling);
    elsewhere(&mut t, s);
    failures(&mut t, s, telling);
    gaps(&mut t, s, telling);
    if let Some(jobs) = s.jobs.as_ref().filter(|jobs| s.state != State::Over || !jobs.is_empty()) {
        t.push_str(&queue(jobs, telling, &s.run));
    }
    if let Some(disk) = &s.disk {
        let _ = write!(t, "\n{}", disk.text());
    }
    let next = next(s);
    if !next.is_empty() {
        let _ = write!(t, "\n{next}");
    }
    t
}

/// Prior to posterior.
fn result(s: &Status) -> String {
    let mut rows =
        vec![["parameter", "prior mean", "std", "", "posterior mean", "std"].map(str::to_owned).to_vec()];
    for e in &s.result {
        let [a, b, c, d] = [e.prior_mean, e.prior_std, e.mean, e.std].map(short);
        rows.push(vec![e.name.clone(), a, b, "->".into(), c, d]);
    }
    table(&rows)
}

/// What a search has found.
fn found(s: &SearchSeen) -> String {
    let failed = if s.failed > 0 { format!(", {} failed", s.failed) } else { String::new() };
    let mut t = format!("{} of {} evaluations{failed}\n", s.evaluations, s.budget);
    if s.best == 0 {
        return t;
    }
    let scores: Vec<String> = s.score.iter().map(|x| short(*x)).collect();
    let _ = writeln!(t, "best: {} ({}), trial {}: `{}`", scores.join(", "), s.scored, s.best, s.folder);
    if s.archive > 1 {
        let _ = writeln!(t, "{} kept", count(s.archive as usize, "trial"));
    }
    if !s.parts.is_empty() {
        let parts: Vec<String> = s.parts.iter().map(|(name, x)| format!("{name} {}", short(*x))).collect();
        let _ = writeln!(t, "  {}", parts.join(", "));
    }
    if !s.values.is_empty() {
        let rows: Vec<Vec<String>> = s.values.iter().map(|(name, x)| vec![name.clone(), short(*x)]).collect();
        let head = vec![["parameter", "best"].map(str::to_owned).to_vec()];
        let _ = write!(t, "\n{}", table(&[head, rows].concat()));
    }
    t
}

/// Generations of a search shown without `-v`: the last ones.
const GENERATIONS: usize = 10;

fn iterations(rows: &[Row], search: bool, telling: Telling) -> String {
    if search {
        return generations(rows, telling);
    }
    let head = ["iteration", "done", "running", "failed", "missing", "misfit", "step", "time T", "wall time"];
    let mut text = vec![head.map(str::to_owned).to_vec()];
    let number = |x: Option<f64>| x.map_or("-".into(), short);
    for r in rows {
        let counts = [r.done, r.running, r.failed, r.missing].map(|n| n.to_string());
        let mut row = vec![r.iteration.to_string()];
        row.extend(counts);
        row.extend([number(r.misfit), number(r.step), number(r.time)]);
        row.push(r.elapsed_s.map_or("-".into(), span));
        text.push(row);
    }
    table(&text) + &if telling.all { measures(rows) } else { String::new() }
}

/// Further measures of each iteration that is closed, by name.
fn measures(rows: &[Row]) -> String {
    let mut names: Vec<&String> = rows.iter().flat_map(|r| r.metrics.keys()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    let number = |x: Option<f64>| x.map_or("-".into(), short);
    let mut text = vec![vec!["iteration".to_owned(), "avg_rmse".to_owned()]];
    text[0].extend(names.iter().map(|name| (*name).clone()));
    for r in rows.iter().filter(|r| r.closed) {
        let mut row = vec![r.iteration.to_string(), number(r.avg_rmse)];
        row.extend(names.iter().map(|name| number(r.metrics.get(*name).copied())));
        text.push(row);
    }
    format!("\n{}", table(&text))
}

fn generations(rows: &[Row], telling: Telling) -> String {
    let head = ["iteration", "done", "running", "failed", "missing", "best", "wall time"];
    let mut text = vec![head.map(str::to_owned).to_vec()];
    let left_out = if telling.all { 0 } else { rows.len().saturating_sub(GENERATIONS) };
    for r in &rows[left_out..] {
        let mut row = vec![r.iteration.to_string()];
        row.extend([r.done, r.running, r.failed, r.missing].map(|n| n.to_string()));
        row.push(r.score.map_or("-".into(), short));
        row.push(r.elapsed_s.map_or("-".into(), span));
        text.push(row);
    }
    let more =
        if left_out > 0 { format!("{left_out} before them (`-v` shows them)\n") } else { String::new() };
    table(&text) + &more
}

/// Blocks in the line about them, the worst first.
const BLOCKS: usize = 6;

/// The misfit block by block, in a line; all that is known of them in a table.
fn blocks(t: &mut String, s: &Status, telling: Telling) {
    if s.blocks.is_empty() {
        return;
    }
    let mut worst: Vec<_> = s.blocks.iter().collect();
    worst.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    if telling.all {
        let head = ["block", "misfit", "avg_rmse", "unweighted_loss", "unweighted_avg_rmse", "crps"];
        let mut text = vec![head.map(str::to_owned).to_vec()];
        for b in worst {
            let mut row = vec![b.name.clone()];
            row.extend([b.loss, b.avg_rmse, b.unweighted_loss, b.unweighted_avg_rmse].map(short));
            row.push(b.crps.map_or("-".into(), short));
            text.push(row);
        }
        t.push_str(&table(&text));
        return;
    }
    let shown: Vec<String> =
        worst.iter().take(BLOCKS).map(|b| format!("{} {}", b.name, short(b.loss))).collect();
    let more =
        if worst.len() > BLOCKS { format!(", and {} more", worst.len() - BLOCKS) } else { String::new() };
    let _ = writeln!(t, "misfit of each block: {}{more}", shown.join(", "));
}

/// Failures of iterations that are not told in detail.
fn elsewhere(t: &mut String, s: &Status) {
    let of: Vec<&Row> =
        s.iterations.iter().filter(|r| r.closed && r.failed > 0 && Some(r.iteration) != s.detail).collect();
    let Some(last) = of.last() else { return };
    let failed: usize = of.iter().map(|r| r.failed).sum();
    let _ = writeln!(
        t,
        "\nleft out of closed iterations: {}; why:  ekp-status {} --iteration {}",
        count(failed, "failed member"),
        word(&s.run),
        last.iteration
    );
}

fn failures(t: &mut String, s: &Status, telling: Telling) {
    let Some(iteration) = s.detail.filter(|_| !s.failures.is_empty()) else { return };
    let _ = writeln!(t, "\nfailed in iteration {iteration}");
    let shown = if telling.all { s.failures.len() } else { GROUPS };
    for group in s.failures.iter().take(shown) {
        failure(t, group, telling);
    }
    if s.failures.len() > shown {
        let _ = writeln!(t, "  and {} more groups (`-v` shows them)", s.failures.len() - shown);
    }
}

fn failure(t: &mut String, f: &Failures, telling: Telling) {
    let place = f.host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
    let _ = writeln!(t, "  {}{place}: {} ({})", f.cause, members(&f.members), f.count);
    let shown = if telling.all { f.messages.len() } else { MESSAGES };
    for m in f.messages.iter().take(shown).filter(|m| !m.message.is_empty()) {
        let whose = if f.messages.len() > 1 { format!("{}: ", m.members) } else { String::new() };
        let _ = writeln!(t, "    {whose}{}", m.message);
    }
    if f.messages.len() > shown {
        let _ = writeln!(t, "    and {} more messages", f.messages.len() - shown);
    }
    let lines: Vec<&str> = f.stderr_tail.lines().filter(|l| !l.trim().is_empty()).collect();
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        let _ = writeln!(t, "    | {line}");
    }
    let _ = writeln!(t, "    record  {}", f.record);
    if let Some(place) = f.log.as_ref().or(f.folder.as_ref()) {
        let _ = writeln!(t, "    {}  {place}", if f.log.is_some() { "log   " } else { "folder" });
    }
    let _ = writeln!(t, "    rerun   {}", f.rerun);
}

/// Members without an outcome: defective, lost, at work, not begun.
fn gaps(t: &mut String, s: &Status, telling: Telling) {
    let Some(iteration) = s.detail else { return };
    if !s.defective.is_empty() {
        let _ = writeln!(t, "\nno outcome, though a file is there (they run again by themselves)");
        for d in &s.defective {
            let _ = writeln!(t, "  member {}: `{}`: {}", d.member, d.file, d.defect);
        }
    }
    if !s.lost.is_empty() {
        let _ = writeln!(t, "\nlost in iteration {iteration}");
        for l in &s.lost {
            let place = if l.host.is_empty() { String::new() } else { format!(" on {}", l.host) };
            let _ = writeln!(t, "  {}{place}: {}", l.cause, members(&l.members));
            let _ = writeln!(t, "    | {}\n    log     {}\n    {}", l.line, l.log, l.advice);
        }
    }
    if !s.running.is_empty() {
        let shown = if telling.all { s.running.len() } else { 5 };
        let _ = writeln!(t, "\nrunning in iteration {iteration}, the longest first");
        for r in s.running.iter().take(shown) {
            let since = r.since_s.map_or(String::new(), |x| format!(" since {}", span(x)));
            let who = match (r.worker.as_str(), s.launcher) {
                ("", Some(_)) => String::new(),
                ("", None) => {
                    "  (nobody has leased it; after 10 min of silence it counts as given up)".into()
                }
                (worker, _) => format!("  ({worker})"),
            };
            let _ = writeln!(t, "  member {}{since}{who}", r.member);
        }
        if s.running.len() > shown {
            let _ = writeln!(t, "  and {} more", s.running.len() - shown);
        }
    }
    if !s.missing.is_empty() && s.state != State::Made {
        let _ = writeln!(t, "\nmissing in iteration {iteration}: {}", members(&s.missing));
    }
}

fn members(list: &str) -> String {
    let several = list.contains([',', '-']);
    format!("member{} {}", if several { "s" } else { "" }, cut(list, 60))
}

/// A long list, cut at a comma.
fn cut(list: &str, width: usize) -> String {
    match list.get(..width).and_then(|head| head.rfind(',')) {
        Some(at) if list.len() > width => format!("{},...", &list[..at]),
        _ => list.to_owned(),
    }
}

/// Jobs of a run that is told elsewhere.
pub fn jobs(list: &[Job], all: bool, run: &str) -> String {
    queue(list, Telling { all, jobs: all }, run)
}

/// Jobs: what stands still first, then what is next to start.
fn queue(jobs: &[Job], telling: Telling, run: &str) -> String {
    if jobs.is_empty() {
        return "\nno jobs of this run are queued\n".into();
    }
    let elements =
        |of: &dyn Fn(&Job) -> bool| jobs.iter().filter(|j| of(j)).map(|j| j.elements as usize).sum::<usize>();
    let running = elements(&|j| j.state == "running");
    let waiting = elements(&|j| j.state == "waiting");
    let mut t = format!("\n{} running, {waiting} waiting\n", count(running, "job"));
    let stuck: Vec<&Job> = jobs.iter().filter(|j| j.advice.is_some()).collect();
    for job in &stuck {
        let _ = writeln!(t, "  {} {} never starts by itself: {}", job.id, job.name, job.reason);
        let _ = writeln!(t, "    {}", job.advice.as_deref().unwrap_or_default());
        if job.reason.to_lowercase().contains("held") {
            let _ = writeln!(t, "    scontrol release {}", job.id);
        } else {
            let cd = if run == "." { String::new() } else { format!("cd {} && ", word(run)) };
            let _ = writeln!(t, "    ekp-cancel {}    then    {cd}sbatch ekp_calibration.sbatch", word(run));
        }
    }
    let rest: Vec<&Job> = jobs.iter().filter(|j| j.advice.is_none()).collect();
    // Of a long chain all but the first wait for each other: they tell nothing.
    let told = |j: &&&Job| telling.jobs || telling.all || (j.state == "waiting" && j.reason != "Dependency");
    let told: Vec<&&Job> = rest.iter().filter(told).collect();
    for job in &told {
        let mut line = format!("  {} {} {}", job.id, job.name, job.state);
        if job.state == "waiting" {
            let _ = write!(
                line,
                ": {}",
                if job.reason == "Dependency" { "the jobs before it" } else { &job.reason }
            );
        }
        if !job.nodes.is_empty() {
            let _ = write!(line, " on {}", job.nodes);
        }
        if job.state == "waiting" && !job.start.is_empty() {
            let _ = write!(line, ", expected to start {}", job.start);
        }
        let _ = writeln!(t, "{line}");
    }
    let hidden = rest.len() - told.len();
    if hidden > 0 {
        let _ =
            writeln!(t, "  {} more, running or waiting for those before them (`--jobs` lists them)", hidden);
    }
    t
}

/// What to type next.
fn next(s: &Status) -> String {
    let run = word(&s.run);
    let cd = if s.run == "." { String::new() } else { format!("cd {run} && ") };
    let on = format!("next:  ekp-launch {run}\nor:    {cd}sbatch ekp_calibration.sbatch\n");
    // A try without a lease may be what a killed process left behind: it keeps nobody from going on.
    let leased = s.running.iter().any(|r| !r.worker.is_empty());
    let at_work = s.launcher.is_some() || leased || s.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty());
    match s.state {
        State::Over => String::new(),
        // Somebody is at it: nothing is to be typed.
        _ if at_work => String::new(),
        State::Quorum => format!("mend the cause; failed members then get another try\n{on}"),
        State::Cancelled => format!("to lift the mark and go on\n{on}"),
        State::Made | State::Members | State::Update => on,
    }
}

/// Several runs, a line each.
pub fn many(all: &[Result<Status, (String, String)>]) -> String {
    let head = ["run", "method", "members", "iteration", "done", "failed", "misfit", "where it stands"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for found in all {
        let s = match found {
            Ok(s) => s,
            Err((run, why)) => {
                let mut row = vec![run.clone()];
                row.extend(vec!["-".to_owned(); 6]);
                row.push(why.clone());
                rows.push(row);
                continue;
            }
        };
        let last = s.iterations.last();
        let misfit = s.iterations.iter().rev().find_map(|r| r.misfit);
        rows.push(vec![
            s.run.clone(),
            s.method.clone(),
            s.members.to_string(),
            last.map_or("-".into(), |r| r.iteration.to_string()),
            last.map_or("-".into(), |r| r.done.to_string()),
            s.iterations.iter().map(|r| r.failed).sum::<usize>().to_string(),
            misfit.map_or("-".into(), short),
            s.sentence.clone(),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, state: &str, reason: &str, advice: Option<&str>) -> Job {
        Job {
            id: id.into(),
            name: "s.it003.members".into(),
            state: state.into(),
            reason: reason.into(),
            start: "2026-11-20T12:00:00".into(),
            nodes: String::new(),
            elements: 2,
            iteration: Some(3),
            element: None,
            advice: advice.map(str::to_owned),
        }
    }

    #[test]
    fn what_stands_still_is_named_with_what_to_type_and_the_chain_behind_it_is_not() {
        let jobs = [
            job("12_[1-2]", "waiting", "Resources", None),
            job("13", "waiting", "Dependency", None),
            job("14", "waiting", "PartitionTimeLimit", Some("lower `time` in site.toml")),
            job("15", "waiting", "JobHeldUser", Some("held by you")),
        ];
        let text = queue(&jobs, Telling::default(), "runs/a");
        assert!(text.starts_with("\n0 jobs running, 8 waiting\n"), "{text}");
        assert!(
            text.contains("14 s.it003.members never starts by itself: PartitionTimeLimit\n    lower"),
            "{text}"
        );
        assert!(
            text.contains("ekp-cancel runs/a    then    cd runs/a && sbatch ekp_calibration.sbatch"),
            "{text}"
        );
        assert!(text.contains("scontrol release 15"), "{text}");
        assert!(
            text.contains(
                "12_[1-2] s.it003.members waiting: Resources, expected to start 2026-11-20T12:00:00"
            )
        );
        assert!(text.contains("1 more, running or waiting") && !text.contains("  13 "), "{text}");
        assert!(
            queue(&jobs, Telling { jobs: true, all: false }, ".")
                .contains("13 s.it003.members waiting: the jobs before it")
        );
    }

    #[test]
    fn a_long_list_is_cut_at_a_comma() {
        assert_eq!(cut("1,2,3", 60), "1,2,3");
        assert_eq!(cut("1,2,3,4", 4), "1,2,...");
    }
}
