//! `ekp-report`: figures, the numbers behind them, and a page that a browser shows.

use std::fs;

use crate::dds::land;
use crate::support::{Study, TestRun, program, there};

fn finished(name: &str) -> (Study, TestRun) {
    let study = Study::sinusoid(name).members(12).iterations(4);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    (study, run)
}

fn table(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

const FIGURES: [&str; 6] =
    ["fig_convergence", "fig_marginals", "fig_pairs", "fig_fit", "fig_paths", "fig_workers"];

#[test]
fn the_numbers_behind_a_figure_are_those_of_the_run() {
    let (_study, run) = finished("report");
    run.tool("ekp-report").succeeds().prints("report/report.html").says("6 figures");
    // The misfit is that of the decisions
    let fits = table(&run.read("report/data/fig_convergence_a.csv"));
    assert_eq!(fits.len(), 4);
    for row in &fits {
        let update =
            run.toml(&format!("iteration_{:0>3}/update.toml", row["iteration"].trim_end_matches(".0")));
        let misfit = update["misfit"].as_float().unwrap();
        assert_eq!(row["misfit_of_mean"].parse::<f64>().unwrap().to_bits(), misfit.to_bits());
    }
    // The last spread is the result's
    let spreads = table(&run.read("report/data/fig_convergence_b.csv"));
    let last: f64 = spreads.last().unwrap()["amplitude"].parse().unwrap();
    assert!((last / run.result()["amplitude"].1 - 1.0).abs() < 1e-12, "round-off of two sums of twelve");
    // What was observed stands as it was given, with the root of its variance
    let observed = table(&run.read("report/data/fig_fit_a.csv"));
    let given = run.toml("observation.toml");
    let y = given["block"][0]["y"].as_array().unwrap()[0].as_float().unwrap();
    assert_eq!(observed[0]["observed"].parse::<f64>().unwrap().to_bits(), y.to_bits());
    // Members that ran: twelve in each of four iterations
    assert_eq!(table(&run.read("report/data/fig_workers_a.csv")).len(), 48);
}

#[test]
fn the_same_run_gives_the_same_bytes_in_every_format_and_needs_no_network() {
    let (_study, run) = finished("report_bytes");
    let files = |folder: &str| {
        run.tool("ekp-report").args([".", "--format", "svg,png,pdf", "-o", folder]).succeeds();
        let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(run.path.join(folder))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
            .collect();
        all.sort();
        all
    };
    let first = files("one");
    assert!(first == files("two"), "the same bytes");
    let named = |name: String| &first.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1;
    for figure in FIGURES {
        assert!(named(format!("{figure}.svg")).starts_with(b"<svg"), "{figure}");
        assert!(named(format!("{figure}.png")).starts_with(b"\x89PNG"), "{figure}");
        assert!(named(format!("{figure}.pdf")).starts_with(b"%PDF"), "{figure}");
    }
    let page = String::from_utf8(named("report.html".into()).clone()).unwrap();
    let beyond = page.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !beyond.contains("http") && !beyond.contains("<script") && !beyond.contains("src="),
        "self-contained"
    );
    run.tool("ekp-report").args([".", "--format", "gif"]).fails(2).says("svg, png, pdf");
}

#[test]
fn a_run_that_is_not_over_has_a_report_too() {
    let study = Study::sinusoid("report_early").members(6).iterations(3);
    let run = study.init("run");
    // Made, nothing done
    run.tool("ekp-report").succeeds().says("0 figures");
    assert!(run.read("report/report.html").contains("there is no result yet"));
    // One iteration closed with a failure, the next one under way
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "2", "--fail", "by <hand>"]).succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "1-6"]).succeeds();
    run.tool("ekp-update").args(["-qi", "0"]).succeeds();
    run.tool("ekp-run-member").args(["-qi", "1", "-m", "3", "--fail", "by <hand>"]).succeeds();
    run.tool("ekp-report").succeeds().says("6 figures");
    let page = run.read("report/report.html");
    assert!(page.contains("by &lt;hand&gt;") && !page.contains("by <hand>"), "what a model said is text");
    // Members' files may be gone: the rest is drawn, and that is said
    for member in 1..=6 {
        fs::remove_dir_all(run.path.join(format!("iteration_000/member_{member:03}"))).unwrap();
    }
    run.tool("ekp-report").succeeds().says("outputs are gone").says("figures");
}

#[test]
fn a_search_is_drawn_by_its_trials_and_what_was_best_so_far() {
    for method in ["dds", "dds-async"] {
        let study = land(&format!("report_{method}"), method, 4, 60);
        let run = study.init("run");
        run.launch(&["-q", "--on", "threads"]);
        run.tool("ekp-report").succeeds().says("2 figures");
        let rows = table(&run.read("report/data/fig_search_a.csv"));
        let number = |row: usize, key: &str| rows[row][key].parse::<f64>().unwrap();
        assert_eq!(
            (rows.len(), number(0, "evaluation"), number(59, "evaluation")),
            (60, 1.0, 60.0),
            "{method}"
        );
        // The best so far is the best of the scores up to there, and in the end the result's
        let found = run.toml("stop.toml")["best"].as_array().unwrap()[0]["score"].clone();
        let name = rows[0].keys().find_map(|key| key.strip_prefix("best ")).unwrap().to_owned();
        let mut best = f64::NEG_INFINITY;
        for k in 0..60 {
            best = best.max(number(k, &name));
            assert_eq!(number(k, &format!("best {name}")), best, "{method} {k}");
        }
        assert_eq!(found.as_array().unwrap()[0].as_float(), Some(best), "{method}");
        assert!(run.read("report/report.html").contains("id=\"fig_search\""));
    }
}

/// Asks a browser what it shows: figures, width of the page, size of the smallest text in a picture, errors.
const ASK: &str = "<script>addEventListener('load', () => { \
 const texts = [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height); \
 document.documentElement.innerHTML = '<body>figures=' + document.querySelectorAll('figure svg').length + \
 ' overflow=' + (document.documentElement.scrollWidth - innerWidth) + ' smallest=' + Math.min(...texts).toFixed(1) + \
 ' end</body>'; })</script></body>";

#[test]
fn a_browser_shows_the_page_on_a_desk_and_on_a_phone_without_an_error() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        program("sh", ".".as_ref())
            .args(["-c", &format!("command -v {name}")])
            .try_run()
            .is_some_and(|e| e.output.status.success())
    });
    if !there("chromium", browser.is_some()) {
        return;
    }
    let (_study, run) = finished("report_browser");
    run.tool("ekp-report").succeeds();
    let page = run.read("report/report.html").replace("</body>", ASK);
    fs::write(run.path.join("report/asked.html"), page).unwrap();
    for width in ["1200", "500"] {
        let profile = run.path.join(format!("profile_{width}"));
        let told = program(browser.unwrap(), &run.path)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args([&format!("--user-data-dir={}", profile.display()), &format!("--window-size={width},900")])
            .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"])
            .args([format!("file://{}/report/asked.html", run.path.display())])
            .succeeds();
        let dom = told.out();
        assert!(dom.contains("figures=6"), "{dom}");
        assert!(dom.contains("overflow=0") || dom.contains("overflow=-"), "nothing sticks out: {dom}");
        let smallest = dom.split("smallest=").nth(1).and_then(|t| t.split(' ').next()).unwrap();
        // 8 points of text, 1.1 dots each, with the room above and below letters
        assert!(smallest.parse::<f64>().unwrap() >= 8.0, "text can be read: {dom}");
        assert!(!told.err().contains("CONSOLE"), "{}", told.err());
    }
}
