//! `ekp-collect-timings`: a row for everything that was measured; asked against used.

use std::fs;

use crate::support::{Study, TestRun, tool};

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
