//! `ekp-collect-timings`: a row for everything that was measured; asked against used.

use std::fs;

use crate::dds::land;
use crate::support::{Study, TestRun, program, tool};

/// The rows of a table by heading.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn every_member_and_update_has_a_row_and_the_order_is_always_the_same() {
    let study = Study::external("timings").members(5).iterations(2).set("failures.retries", 0);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    let study = study.model("#!/bin/sh\n[ \"$EKP_MEMBER\" != 3 ] || exit 7\necho 'model_output = [1, 2, 3, 4, '$EKP_MEMBER']' > \"$2\"\n");
    run.launch(&["-q", "--on", "threads", "--workers", "2"]);
    let told = run.tool("ekp-collect-timings").succeeds();
    assert_eq!(told.out(), "./results/timing_raw.csv\n");
    let text = run.read("results/timing_raw.csv");
    let table = rows(&text);
    let kinds: Vec<String> =
        table.iter().map(|r| format!("{} {} {}", r["iteration"], r["kind"], r["member"])).collect();
    let expected = |i: u32| (1..=5).map(move |m| format!("{i} member {m}")).chain([format!("{i} update ")]);
    assert_eq!(kinds, expected(0).chain(expected(1)).collect::<Vec<_>>());
    let failed: Vec<(&str, &str)> = table
        .iter()
        .filter(|r| r["success"] == "false")
        .map(|r| (r["member"].as_str(), r["error"].as_str()))
        .collect();
    assert_eq!(failed, [("3", "exit"), ("3", "exit")]);
    // The numbers are those of the files
    let timing = run.toml("iteration_001/member_004/timing.toml");
    let row = &table[9];
    assert_eq!(row["wall_clock_seconds"].parse::<f64>().unwrap(), timing["wall_s"].as_float().unwrap());
    assert_eq!(row["timestamp"], timing["start"].as_str().unwrap());
    assert_eq!(row["host"], timing["host"].as_str().unwrap());
    assert!(table.iter().all(|r| ["1", "2"].contains(&r["num_processes"].as_str())));
    // The same again gives the same bytes
    run.tool("ekp-collect-timings").succeeds();
    assert_eq!(run.read("results/timing_raw.csv"), text);
    // Many runs make one table, numbered
    let half = study.init("half");
    half.tool("ekp-init-ensemble").succeeds();
    half.tool("ekp-run-member").args(["-qi", "0", "-m", "2"]).succeeds();
    fs::write(half.path.join("iteration_000/member_001/timing.toml"), "schema = \"ekp.ti").unwrap();
    let all =
        tool("ekp-collect-timings", study.folder.path()).args(["run", "half", "-o", "tables"]).succeeds();
    let all = all.says("is not a valid ekp.timing");
    assert_eq!(all.out(), "tables/timing_raw.csv\n");
    let table = rows(&fs::read_to_string(study.folder.path().join("tables/timing_raw.csv")).unwrap());
    assert_eq!(
        (table.len(), table[12]["run_index"].as_str(), table[12]["success"].as_str()),
        (13, "2", "true")
    );
}

#[test]
fn it_is_harmless_before_anything_has_run() {
    let study = Study::sinusoid("nothing").members(4);
    let run = study.init("run");
    run.tool("ekp-collect-timings").succeeds();
    assert_eq!(run.read("results/timing_raw.csv").lines().count(), 1);
    run.tool("ekp-collect-timings").args(["--advise"]).succeeds().says("no member has run yet");
}

#[test]
fn accounts_of_the_scheduler_stand_beside_the_times_in_its_own_words() {
    // Given a run whose members ran as elements of job 4711, and a `sacct` that answers as that of Slurm 22.05 does
    // (no database of accounts runs in the cluster of the tests)
    let study = Study::sinusoid("accounts").members(2).iterations(1);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    for member in 1..=2 {
        let name = format!("iteration_000/member_{member:03}/timing.toml");
        let text = run.read(&name).replace("job = \"\"", "job = \"4711\"");
        fs::write(run.path.join(&name), text.replace("array_task = 0", &format!("array_task = {member}")))
            .unwrap();
    }
    let lines = "4711_1|run.member|COMPLETED|0:0|2026-11-20T11:00:00|2026-11-20T11:00:02|2026-11-20T11:00:09|7|2|n1||00:13.204\n\
                 4711_1.batch|batch|COMPLETED|0:0|2026-11-20T11:00:02|2026-11-20T11:00:02|2026-11-20T11:00:09|7|2|n1|20480K|00:13.204\n\
                 4711_2|run.member|OUT_OF_MEMORY|0:125|2026-11-20T11:00:00|2026-11-20T11:00:02|2026-11-20T11:01:02|60|2|n2||00:59.000\n";
    let bin = study.folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    study.folder.write("answer.txt", lines);
    let answer = study.folder.path().join("answer.txt").display().to_string();
    study.folder.script("bin/sacct", &format!("#!/bin/sh\necho \"$*\" > {answer}.asked\ncat {answer}\n"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // When times are collected
    let told = run.tool("ekp-collect-timings").env("PATH", &path).succeeds();
    // Then it was asked once for that job, and its lines are the table, gaps as gaps
    told.says("accounts of the scheduler: ./results/accounting.csv");
    let asked = fs::read_to_string(format!("{answer}.asked")).unwrap();
    assert!(asked.starts_with("-nP -j 4711 -o JobID,JobName,State,"), "{asked}");
    let table = rows(&run.read("results/accounting.csv"));
    let cell = |k: usize, key: &str| table[k][key].as_str();
    assert_eq!((table.len(), cell(0, "JobID"), cell(0, "MaxRSS")), (3, "4711_1", ""));
    assert_eq!((cell(1, "MaxRSS"), cell(1, "ElapsedRaw"), cell(1, "AllocCPUS")), ("20480K", "7", "2"));
    assert_eq!(
        (cell(2, "State"), cell(2, "ExitCode"), cell(2, "NodeList")),
        ("OUT_OF_MEMORY", "0:125", "n2")
    );
    // And what it does not know, or cannot say, is said; times are there all the same
    let failing = |script: &str, says: &str| {
        fs::remove_file(run.path.join("results/accounting.csv")).ok();
        study.folder.script("bin/sacct", script);
        run.tool("ekp-collect-timings").env("PATH", &path).succeeds().says(says);
        assert!(!run.has("results/accounting.csv") && run.has("results/timing_raw.csv"));
    };
    failing("#!/bin/sh\n", "the scheduler's accounting knows none of the jobs 4711");
    failing(
        "#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n",
        "Slurm accounting storage is disabled",
    );
}

/// A run whose members took these times and this memory.
fn measured(study: &Study, wall_s: &[f64], rss_mb: &[f64]) -> TestRun {
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    for (k, (wall, rss)) in wall_s.iter().zip(rss_mb).enumerate() {
        let name = format!("iteration_000/member_{:03}/timing.toml", k + 1);
        let line = |line: &str| match line.split(" = ").next() {
            Some("wall_s") => format!("wall_s = {wall:?}\n"),
            Some("cpu_s") => format!("cpu_s = {:?}\n", wall / 2.0),
            Some("peak_rss_mb") => format!("peak_rss_mb = {rss:?}\n"),
            Some("threads") => "threads = 4\n".into(),
            Some("host") => "host = \"n1\"\n".into(),
            _ => format!("{line}\n"),
        };
        fs::write(run.path.join(&name), run.read(&name).lines().map(line).collect::<String>()).unwrap();
    }
    run
}

#[test]
fn advice_has_a_quarter_more_than_was_used_and_can_be_pasted() {
    let study = Study::sinusoid("advise").members(4).iterations(1);
    study.folder.write(
        "site.toml",
        "[slurm]\ntime = \"12:00:00\"\n[slurm.member]\nmem = \"8G\"\ncpus_per_task = 4\nmembers_per_task = 2\n",
    );
    let run = measured(&study, &[600.0, 1000.0, 900.0, 100.0], &[1000.0, 2000.0, 500.0, 500.0]);
    let told = run.tool("ekp-collect-timings").args(["--advise"]).succeeds().out();
    // Elements are members 1-2 and 3-4: the first took 1600 s, 2000 s with a quarter more, 34 whole minutes
    let site: toml::Table = told.parse().unwrap();
    let member = &site["slurm"]["member"];
    assert_eq!(member["time"].as_str(), Some("00:34:00"), "{told}");
    // 2000e6 bytes are 1907.3 MiB, as Slurm counts
    assert_eq!(member["mem"].as_str(), Some("2385M"), "{told}");
    // Half a core was busy of four
    assert_eq!(member["cpus_per_task"].as_integer(), Some(1), "{told}");
    assert!(
        told.contains("12:00:00") && told.contains("8G") && told.contains("member 2, iteration 0, n1"),
        "{told}"
    );
    assert!(!run.has("results/timing_raw.csv"));
}

/// What the program below gives its trials, from 1; none: it fails.
const SCORES: [Option<f64>; 12] = [
    None,
    Some(0.5),
    Some(0.3),
    None,
    Some(0.7),
    Some(0.2),
    Some(0.65),
    Some(0.71),
    Some(-1.0),
    Some(0.9),
    Some(0.4),
    Some(0.8),
];

#[test]
fn the_best_score_of_a_search_without_a_coordinator_is_told_trial_by_trial_and_in_the_table_of_cases() {
    // Given a program that calls its score KGE, which depends on the number of the trial and on nothing else
    let study = land("best-kge", "dds-async", 1, 12)
        .set("score.name", "kge")
        .set("failures.retries", 0)
        .set("model", toml::Table::from_iter([("command".into(), vec!["./model.sh", "{data}"].into())]))
        .set("model.files", vec!["model.sh"]);
    let answers: String =
        (1..).zip(SCORES).filter_map(|(trial, score)| Some(format!("{trial}) k={};; ", score?))).collect();
    let study = study.model(&format!(
        "#!/bin/sh\ncase $EKP_MEMBER in {answers}*) exit 1;; esac\necho \"model_output = [$k]\" > \"$1\"\n"
    ));
    // By one worker, by three, and by one that takes four at a time
    study.folder.write(
        "sweep.toml",
        "schema = \"ekp.sweep\"\nversion = 1\nname = \"best\"\nexperiment = \"experiment.toml\"\n\
         [[case]]\nname = \"one\"\nset = { \"launch.workers\" = 1 }\n\
         [[case]]\nname = \"three\"\nset = { \"launch.workers\" = 3 }\n\
         [[case]]\nname = \"block\"\nset = { \"launch.workers\" = 1, \"algorithm.claim_size\" = 4 }\n",
    );
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let sweep = TestRun { path: study.folder.path().join("study") };
    program("make", &sweep.path).args(["-s"]).succeeds();
    sweep.tool("ekp-collect-timings").succeeds();
    let raw = rows(&sweep.read("results/timing_raw.csv"));
    let of = |case: &str| -> Vec<(String, String, String)> {
        let own = raw.iter().filter(|row| row["experiment"] == case && row["kind"] != "update");
        own.map(|row| (row["member"].clone(), row["end_timestamp"].clone(), row["best_kge"].clone()))
            .collect()
    };
    let best = |rows: &[(String, String, String)]| rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>();
    // Then the one worker's best so far are those of a count by hand: before the first success there is none
    assert_eq!(
        best(&of("one")),
        ["", "0.5", "0.5", "0.5", "0.7", "0.7", "0.7", "0.71", "0.71", "0.9", "0.9", "0.9"]
    );
    assert_eq!(best(&of("block")), ["0.5", "0.71", "0.9"], "trials 1 to 4, 5 to 8, 9 to 12");
    // Of three, those who ended earlier count, whatever their numbers
    let three = of("three");
    assert_eq!(three.len(), 12);
    for (_, end, best) in &three {
        let among = |strict: bool| {
            let ended = three.iter().filter(|(_, other, _)| other < end || !strict && other == end);
            let scores = ended.filter_map(|(member, ..)| SCORES[member.parse::<usize>().unwrap() - 1]);
            scores.fold(f64::NEG_INFINITY, f64::max)
        };
        let told = best.parse().unwrap_or(f64::NEG_INFINITY);
        assert!((among(true)..=among(false)).contains(&told), "{three:?}: {best} at {end}");
    }
    // And a case's scores are those after all, a quarter and half of the evaluations: 12, 3 and 6
    let cases = rows(&sweep.read("results/scaling_metrics.csv"));
    let cells = |case: usize, keys: [&str; 5]| keys.map(|key| cases[case][key].clone());
    let keys = ["variant", "best_score", "score_at_25", "score_at_50", "evals_failed"];
    assert_eq!(cells(0, keys), ["one", "0.9", "0.5", "0.7", "2"]);
    assert_eq!(
        cells(2, keys)[..4],
        ["block", "0.9", "", "0.5"],
        "the first four are known when all have ended"
    );
    assert_eq!(cells(1, keys)[1], "0.9");
    for case in ["one", "three", "block"] {
        let stop = sweep.toml(&format!("{case}/stop.toml"));
        let best = &stop["best"].as_array().unwrap()[0];
        assert_eq!((best["trial"].as_integer(), &best["score"]), (Some(10), &vec![0.9].into()), "{case}");
    }
}
