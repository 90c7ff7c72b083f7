//! The prior as a whole: what is read, in what order, what is refused and where.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::explain::{Explain, Marked};
use crate::files::human::{Document, Names};
use crate::numerics::{Purpose, Streams};

/// Every form of the grammar.
const EXAMPLE: &str = r#"
[drag]                                  # one number
prior = "Parameterized(Normal(-3.5, 0.8))"
constraint = "bounded_below(0.0)"
description = "surface drag"
L1 = 0.5

[mixing]                                # four numbers, one joint distribution
prior = "Parameterized(MvNormal(4, 0.5))"
constraint = "[no_constraint(), bounded_below(-2.0), bounded_above(3.0), bounded(-1.0, 1.0)]"
L2 = 2.0

[tabulated]                             # 2 parameters x 3 stored draws
prior = "Samples([0.1 0.4 -0.2; 1.5 1.1 1.9])"
constraint = "[bounded(-1.0, 1.0), no_constraint()]"

[weights]                               # 6 equal components
prior = "VectorOfParameterized(repeat([Laplace(0.0, 1.0)], 6))"
constraint = "repeat([no_constraint()], 6)"

[layers]                                # unequal components
prior = "VectorOfParameterized([Gamma(2.0, 3.0), LogNormal(0.1, 0.1), Normal(0, 10)])"
constraint = "[no_constraint(), no_constraint(), bounded_below(-5.0)]"

[rate]                                  # physical mean 55.47802418037957, std 10, positive, three of them
prior = "constrained_gaussian(rate, 55.47802418037957, 10, 0, Inf; repeats = 3)"

["old name"]
prior = "fixed"
constraint = "bounded_above(5.0)"
value = "0.64"

[gravity]
value = 9.81
type = "float"
"#;

fn read(text: &str) -> Result<Prior, Marked> {
    Prior::read(&Document::parse(Path::new("priors.toml"), text).unwrap(), None)
}

fn named(text: &str, names: &[&str]) -> Result<Prior, Marked> {
    let list = Document::parse(Path::new("experiment.toml"), &format!("names = {names:?}\n")).unwrap();
    let names = Names::read(&list.section(), "names").unwrap();
    Prior::read(&Document::parse(Path::new("priors.toml"), text).unwrap(), names.as_ref())
}

/// What is wrong with one table of this prior and constraint, and which characters are marked.
fn refused(prior: &str, constraint: &str) -> (String, String) {
    let text = format!("[a]\nprior = \"{prior}\"\nconstraint = \"{constraint}\"\n");
    let marked = read(&text).unwrap_err();
    let picture = marked.picture(false);
    let lines: Vec<&str> = picture.lines().collect();
    let under = lines.iter().position(|line| line.contains('^')).unwrap();
    let carets = lines[under].char_indices().filter(|(_, c)| *c == '^').map(|(i, _)| i).collect::<Vec<_>>();
    let shown: Vec<char> = lines[under - 1].chars().collect();
    let columns = lines[under][..carets[0]].chars().count();
    let found = shown[columns..columns + carets.len()].iter().collect();
    (marked.title().to_owned(), found)
}

#[test]
fn the_example_has_nineteen_rows_in_the_order_of_the_file() {
    let prior = read(EXAMPLE).unwrap();
    let lengths: Vec<(&str, usize)> = prior.names().iter().map(|(name, n)| (name.as_str(), *n)).collect();
    let want = [("drag", 1), ("mixing", 4), ("tabulated", 2), ("weights", 6), ("layers", 3), ("rate", 3)];
    assert_eq!(lengths, want);
    assert_eq!((prior.dim(), prior.warnings.as_slice()), (19, &[] as &[String]));
    let rows = prior.row_names();
    assert_eq!((rows[0].as_str(), rows[2].as_str(), rows[18].as_str()), ("drag", "mixing[2]", "rate[3]"));
    let inf = f64::INFINITY;
    let bounds = prior.bounds();
    assert_eq!(bounds[..5], [(0.0, inf), (-inf, inf), (-2.0, inf), (-inf, 3.0), (-1.0, 1.0)]);
    assert_eq!(bounds[16..], [(0.0, inf); 3]);
    let regularisation: Vec<_> = prior.regularisation().collect();
    assert_eq!(regularisation[..3], [Some(Regularisation::L1(0.5)), Some(Regularisation::L2(2.0)), None]);
    // rate: closed form of a shifted log-normal
    let (mean, covariance) = prior.moments().unwrap();
    for row in 16..19 {
        assert!((mean[row] - 4.0).abs() < 1e-14);
        assert!((covariance[(row, row)] - 0.178_812_648_464_051_12_f64.powi(2)).abs() < 1e-15);
    }
    // tabulated: means 0.1 and 1.5, and by hand (0 + 0.09 + 0.09)/2, (0 − 0.12 − 0.12)/2, (0 + 0.16 + 0.16)/2
    for ((i, k), want) in [((5, 5), 0.09), ((5, 6), -0.12), ((6, 5), -0.12), ((6, 6), 0.16), ((5, 4), 0.0)] {
        assert!((covariance[(i, k)] - want).abs() < 1e-15);
    }
    assert_eq!(prior.log_density(&prior.centre()), None);
    let described = prior.describe();
    assert_eq!(described[0].to_string(), "drag  Normal(-3.5, 0.8)  (0.0, inf)");
    assert_eq!(described[16].distribution, "constrained_gaussian(55.47802418037957 ± 10.0)");
    // The tables that are not calibrated come through.
    let text = prior.member_file().text("", &prior.constrain(&prior.centre())).unwrap();
    assert!(
        text.contains("[\"old name\"]\nprior = \"fixed\"\n") && text.contains("[gravity]\nvalue = 9.81\n")
    );
}

#[test]
fn names_give_order_and_subset() {
    let prior = named(EXAMPLE, &["rate", "drag"]).unwrap();
    assert_eq!(prior.row_names(), ["rate[1]", "rate[2]", "rate[3]", "drag"]);
    let text = prior.member_file().text("", &[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert!(text.contains("value = [1.0, 2.0, 3.0]") && text.contains("value = 4.0"));
    for (names, title) in [
        (&["rat"][..], "`names` lists `rat`, which is no table of `priors.toml`"),
        (&["gravity"], "`names` lists `gravity`, which has no `prior`"),
        (&["old name"], "`names` lists `old name`, which is fixed"),
        (&["drag", "drag"], "`names` lists `drag` twice"),
        (&[], "`names` is empty"),
    ] {
        assert_eq!(named(EXAMPLE, names).unwrap_err().title(), title);
    }
    assert_eq!(Explain::hint(&named(EXAMPLE, &["rat"]).unwrap_err()).unwrap(), "did you mean `rate`?");
}

#[test]
fn a_refusal_marks_what_is_at_fault_inside_the_expression() {
    let none = "no_constraint()";
    for (prior, constraint, title, place) in [
        ("Normal(0, 1)", none, "this is not a prior", "Normal"),
        ("Parameterised(Normal(0, 1))", none, "this is not a prior", "Parameterised"),
        ("Parameterized(Norml(0, 1))", none, "unknown distribution", "Norml"),
        ("Parameterized(Normal(0, -1))", none, "this standard deviation is out of range", "-1"),
        ("Parameterized(Normal(0, 1/3))", none, "`,` or `)` is missing after this number", "/"),
        (
            "Parameterized(Normal(0, 1, 2))",
            none,
            "`Normal` takes mean, standard deviation",
            "Normal(0, 1, 2)",
        ),
        ("Parameterized(MvNormal(0,I))", none, "this is no number", "I"),
        (
            "Parameterized(MvNormal(0, 1))",
            none,
            "the first number of `MvNormal` is no number of components",
            "0",
        ),
        ("Parameterized(Normal(0, 1)", none, "`)` is missing at the end of `Parameterized(…`", "\""),
        ("Parameterized(Normal(0, 1)) + 1", none, "there is more than one expression", "+ 1"),
        ("Samples([1 2; 3 4 5])", none, "the rows of `Samples` differ in length", "3 4 5"),
        ("Samples([1; 2])", none, "`Samples` has one draw", "1"),
        ("constrained_gaussian(a, 5, 1, 0, 4)", none, "the mean lies outside the bounds", "5"),
        (
            "constrained_gaussian(a, 2, 3, 0, 4)",
            none,
            "mean ± one standard deviation lies outside the bounds",
            "3",
        ),
        ("constrained_gaussian(a, 2, 0, 0, Inf)", none, "the standard deviation is too small", "0"),
        ("constrained_gaussian(a, 2, 1, 4, 0)", none, "nothing lies between these bounds", "4, 0"),
        (
            "constrained_gaussian(a, 2, 1, 0, 4; repeat = 3)",
            none,
            "unknown keyword of `constrained_gaussian`",
            "repeat",
        ),
        (
            "constrained_gaussian(a, 2, 1, 0, 4; repeats = 0)",
            none,
            "`repeats` is no number of components",
            "0",
        ),
        ("Parameterized(Normal(0, 1))", "bound(0, 1)", "unknown constraint", "bound"),
        (
            "Parameterized(Normal(0, 1))",
            "bounded(1, 0)",
            "no number fulfils this constraint",
            "bounded(1, 0)",
        ),
        ("Parameterized(Normal(0, 1))", "bounded(1)", "`bounded` takes two numbers", "bounded(1)"),
        ("Parameterized(MvNormal(2, 1))", none, "wrong number of constraints", "no_constraint()"),
        ("VectorOfParameterized([])", none, "this parameter has no component", "V"),
        (
            "VectorOfParameterized(repeat([Normal()], 2000000))",
            none,
            "the number of repetitions is no number of components",
            "2000000",
        ),
    ] {
        assert_eq!(refused(prior, constraint), (format!("`[a]`: {title}"), place.to_owned()), "{prior}");
    }
}

#[test]
fn a_refusal_says_what_to_write_instead() {
    let hint = |prior: &str| {
        let text = format!("[a]\nprior = '{prior}'\nconstraint = 'no_constraint()'\n");
        Explain::hint(&read(&text).unwrap_err()).unwrap()
    };
    assert_eq!(hint("Normal(0, 1)"), "write `Parameterized(Normal(0, 1))`");
    assert!(hint("Parameterized(MvNormal(0,I))").starts_with("write `MvNormal(k, s)`"));
    assert_eq!(hint("Fixed"), "did you mean `fixed`?");
    assert_eq!(hint("Parameterized(MvNormal(2, 1))"), "for the same on all: `repeat([no_constraint()], 2)`");
    for (text, title, line) in [
        ("[a]\nprior = 'Parameterized(Normal())'\n", "`[a]` has a `prior` but no `constraint`", 1),
        ("[a]\nprior = 3\n", "`[a]`: `prior` is no string", 2),
        ("[a]\nL1 = 1\nL2 = 1\nprior = 'Parameterized(Normal())'\n", "`[a]` has both `L1` and `L2`", 3),
        ("[a]\nL1 = 'x'\nprior = 'Parameterized(Normal())'\n", "`[a]`: `L1` is no finite number", 2),
        ("", "nothing is to be calibrated", 1),
    ] {
        let marked = read(text).unwrap_err();
        assert_eq!((marked.title(), marked.line()), (title, line));
    }
}

#[test]
fn what_may_be_a_slip_is_warned_of() {
    let prior = read(
        "x = 1\n[a]\nprior = 'constrained_gaussian(b, 1, 0.9, 0, Inf)'\nconstraint = 'nonsense'\ntype = 'integer'\n\
         [c]\nPrior = 'x'\n[d]\nconstraint = 'bounded(0, 1)'\n[e.f]\nprior = 'y'\n\
         [g]\nprior = 'Samples([1.0, 2.0])'\nconstraint = '[no_constraint()]'\n",
    )
    .unwrap();
    let found = [
        "`x` at the top level is no table and not used",
        "`[c]` has `Prior` but no `prior`: it is not calibrated",
        "`[d]` has a `constraint` but no `prior`: it is not calibrated",
        "`[e.f]` has a `prior`, but only top-level tables are parameters",
        "`[a]` is calibrated, but has `type = \"integer\"` instead of `\"float\"`",
        "`[a]`: its constrained_gaussian is called `b`; the table's name is used",
        "`[a]`: a bound lies within 1.2 standard deviations of the mean",
        "`[a]`: `constraint` is ignored beside a constrained_gaussian",
        "`[g]`: EKP.jl does not read `Samples` of one row",
    ];
    assert_eq!(prior.warnings, found);
}

#[test]
fn stored_draws_are_drawn_as_whole_columns_each_as_often() {
    let prior =
        read("[a]\nprior = 'Samples([1 2 3; 10 20 30])'\nconstraint = 'repeat([no_constraint()], 2)'")
            .unwrap();
    let draw = Streams::new(1);
    let mut counts = [0u32; 3];
    let n = 6000;
    for member in 1..=n {
        let u = prior.sample(&mut draw.at(Purpose::Prior, 0, member));
        assert_eq!(u[1], 10.0 * u[0]);
        counts[u[0] as usize - 1] += 1;
    }
    for count in counts {
        // 5 standard deviations of a binomial count, √(n · 1/3 · 2/3)
        assert!(
            (f64::from(count) - f64::from(n) / 3.0).abs() < 5.0 * (f64::from(n) * 2.0 / 9.0).sqrt(),
            "{counts:?}"
        );
    }
}

#[test]
fn a_constrained_gaussian_has_the_mean_and_deviation_asked_for() {
    let prior = read(
        "[a]\nprior = 'constrained_gaussian(a, 0.2, 0.1, 0, 1)'\n[b]\nprior = 'constrained_gaussian(b, -5, 2, -Inf, 10)'",
    )
    .unwrap();
    let (draw, n) = (Streams::new(3), 40_000);
    let mut sums = [[0.0; 2]; 2];
    for member in 1..=n {
        let x = prior.constrain(&prior.sample(&mut draw.at(Purpose::Prior, 0, member)));
        for (sum, x) in sums.iter_mut().zip(&x) {
            sum[0] += x / f64::from(n);
            sum[1] += x * x / f64::from(n);
        }
    }
    for ([first, second], (mean, std)) in sums.into_iter().zip([(0.2, 0.1), (-5.0, 2.0)]) {
        let error = std / f64::from(n).sqrt();
        assert!((first - mean).abs() < 5.0 * error); // 5 standard errors
        let found = (second - first * first).sqrt();
        // Standard error of a deviation, σ √((κ − 1)/4n), with a kurtosis κ of at most 5
        assert!((found - std).abs() < 5.0 * error, "{found}");
    }
}

#[test]
fn values_on_a_bound_and_priors_without_covariance_are_refused_by_name() {
    let prior = read(EXAMPLE).unwrap();
    let mut theta = prior.constrain(&prior.centre());
    theta[4] = 1.0;
    assert_eq!(
        prior.unconstrain(&theta).unwrap_err().to_string(),
        "`mixing[4]` is 1.0, which is not between -1.0 and 1.0"
    );
    assert!(matches!(prior.unconstrain(&[1.0]), Err(PriorError::Length { found: 1, expected: 19 })));
    let heavy = read(
        "[a]\nprior = 'VectorOfParameterized([Normal(), Cauchy(2, 1)])'\nconstraint = 'repeat([no_constraint()], 2)'",
    );
    let heavy = heavy.unwrap();
    let error = heavy.moments().unwrap_err();
    assert_eq!(error.to_string(), "the prior of `a[2]`, Cauchy(2.0, 1.0), has no finite mean and covariance");
    assert_eq!(heavy.centre(), [0.0, 2.0]);
}

#[test]
fn the_log_density_is_the_sum_over_rows() {
    let prior =
        read("[a]\nprior = 'Parameterized(MvNormal(3, 2.0))'\nconstraint = 'repeat([no_constraint()], 3)'")
            .unwrap();
    // −½ Σ(u/s)² − 3 ln(s √(2π))
    let want = -0.5 * (0.25 + 1.0 + 0.0) - 3.0 * (2.0 * (2.0 * std::f64::consts::PI).sqrt()).ln();
    assert!((prior.log_density(&[1.0, -2.0, 0.0]).unwrap() - want).abs() < 1e-14);
}

/// Read, and use what was read in every way.
fn exercise(text: &str) {
    let Ok(document) = Document::parse(Path::new("priors.toml"), text) else { return };
    match Prior::read(&document, None) {
        Err(marked) => assert!(!marked.to_string().is_empty() && !marked.picture(false).is_empty()),
        Ok(prior) => {
            let u = prior.sample(&mut Streams::new(0).at(Purpose::Prior, 0, 1));
            assert_eq!(u.len(), prior.dim());
            let _ = (prior.moments(), prior.log_density(&u), prior.describe());
            let theta = prior.constrain(&prior.centre());
            let _ = prior.unconstrain(&theta);
            if let Ok(text) = prior.member_file().text("# x", &theta) {
                assert_eq!(MemberFile::read(&text, prior.names()).unwrap(), theta);
            }
        }
    }
}

#[test]
fn deep_nesting_and_dos_line_ends_are_read_or_refused() {
    let prior = "[a]\nprior = 'Parameterized(Normal())'\nconstraint = 'no_constraint()'\n";
    for depth in [10, 75, 200, 5000] {
        exercise(&format!("{prior}x = {}{}\n", "[".repeat(depth), "]".repeat(depth)));
        exercise(&format!("{prior}x = {}1{}\n", "{a = ".repeat(depth), "}".repeat(depth)));
        exercise(&format!("{prior}{}x = 1\n", "a.".repeat(depth)));
    }
    let text = EXAMPLE.replace('\n', "\r\n");
    assert_eq!(read(&text).unwrap().dim(), 19);
    let marked = read(&text.replace("Normal(-3.5", "Norml(-3.5")).unwrap_err();
    assert_eq!((marked.line(), marked.title()), (3, "`[drag]`: unknown distribution"));
    exercise(&text);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn no_expression_makes_the_reader_panic(prior in "\\PC{0,40}", constraint in "\\PC{0,40}") {
        exercise(&format!("[a]\nprior = '''{prior}'''\nconstraint = {constraint:?}\n"));
    }

    #[test]
    fn no_damage_to_the_example_makes_the_reader_panic(at in 0..EXAMPLE.len(), length in 0..9usize, put in "[\\[\\](),;0-9.eE =\"'\\\\-]{0,3}") {
        let mut text = EXAMPLE.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &put);
        exercise(&text);
    }

    #[test]
    fn unconstrained_values_survive_the_way_out_and_back(u in proptest::collection::vec(-5.0..5.0f64, 19)) {
        let prior = read(EXAMPLE).unwrap();
        let back = prior.unconstrain(&prior.constrain(&u)).unwrap();
        for (u, back) in u.iter().zip(&back) {
            // Bounds of size ≤ 5 at a distance ≥ e⁻⁵/2: 8 ε · 5 · 300
            prop_assert!((u - back).abs() < 4e-12);
        }
    }
}

/// A random field between two plain parameters.
const FIELD: &str = r#"
[drag]
prior = "constrained_gaussian(drag, 2, 1, 0, Inf)"

[permeability]
prior = "gaussian_random_field(Matern(1.5, 0.3), grid(0, 1, 6), grid(0, 2, 5); terms = 4, mean = 0.5, std = 2)"
constraint = "bounded_below(1)"

[offset]
prior = "Parameterized(Normal(3, 2))"
constraint = "no_constraint()"
"#;

#[test]
fn a_field_has_few_rows_and_gives_the_model_many_values() {
    let prior = read(FIELD).unwrap();
    assert_eq!((prior.dim(), prior.values()), (6, 32));
    assert_eq!(prior.names()[1], ("permeability".to_owned(), 30));
    assert_eq!(
        prior.row_names()[1..],
        ["permeability[1]", "permeability[2]", "permeability[3]", "permeability[4]", "offset"]
    );
    let (mean, covariance) = prior.moments().unwrap();
    assert_eq!((mean.len(), mean[2], covariance[(2, 2)], covariance[(5, 5)]), (6, 0.0, 1.0, 4.0));
    let u = prior.sample(&mut Streams::new(3).at(Purpose::Prior, 0, 1));
    let x = prior.constrain(&u);
    assert!(x.len() == 32 && x[1..31].iter().all(|x| *x > 1.0));
    assert_eq!(prior.physical(&u)[1..5], u[1..5]);
    assert_eq!((prior.bounds()[0].0, prior.bounds()[1].0), (0.0, f64::NEG_INFINITY));
    // What a member reads holds the values, and they lead back
    let text = prior.member_file().text("", &x).unwrap();
    assert_eq!(MemberFile::read(&text, prior.names()).unwrap(), x);
    let back = prior.unconstrain(&x).unwrap();
    assert!(u.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-10), "{back:?}");
    // ½ Σ u² of standard normals
    let density = |u: &[f64]| prior.log_density(u).unwrap();
    let mut other = u.clone();
    other[2] += 1.0;
    assert!((density(&u) - density(&other) - (u[2] + 0.5)).abs() < 1e-12);
    // At the centre the field is its mean
    assert!(prior.constrain(&prior.centre())[1..31].iter().all(|x| (x - 1.0 - 0.5f64.exp()).abs() < 1e-15));
}

#[test]
fn the_functions_of_a_field_are_taken_from_the_record_where_it_answers() {
    let document = Document::parse(Path::new("priors.toml"), FIELD).unwrap();
    let path = std::env::temp_dir().join(format!("ekp-fields-{}", std::process::id()));
    let prior = Prior::read_with(&document, None, &path).unwrap();
    let u = [0.1, -0.2, 0.3, 0.4, -0.5, 0.6];
    std::fs::write(&path, prior.fields().unwrap().unwrap()).unwrap();
    let kept = Prior::read_with(&document, None, &path).unwrap();
    assert_eq!(prior.constrain(&u), kept.constrain(&u));
    // Another field does not take it, a damaged record is none
    let other = FIELD.replace("Matern(1.5, 0.3)", "Matern(1.5, 0.4)");
    let other =
        Prior::read_with(&Document::parse(Path::new("priors.toml"), &other).unwrap(), None, &path).unwrap();
    assert_ne!(prior.constrain(&u), other.constrain(&u));
    std::fs::write(&path, b"nothing").unwrap();
    assert_eq!(Prior::read_with(&document, None, &path).unwrap().constrain(&u), prior.constrain(&u));
    std::fs::remove_file(path).unwrap();
    assert!(read(EXAMPLE).unwrap().fields().unwrap().is_none());
}

#[test]
fn a_drawn_field_has_the_covariance_of_its_kernel() {
    // 20 000 draws: variances to 4 √(2/n) = 4 % of 4 at most
    let text = "[f]\nprior = \"gaussian_random_field(Matern(0.5, 0.5), grid(0, 1, 9); terms = 9, std = 2)\"\nconstraint = \"no_constraint()\"\n";
    let prior = read(text).unwrap();
    let (draw, n) = (Streams::new(11), 20_000);
    let mut sums = [0.0; 9];
    for member in 1..=n {
        let f = prior.constrain(&prior.sample(&mut draw.at(Purpose::Prior, 0, member)));
        sums.iter_mut().zip(&f).for_each(|(sum, x)| *sum += f[2] * x / f64::from(n));
    }
    for (i, sum) in sums.iter().enumerate() {
        let want = 4.0 * (-(i as f64 - 2.0).abs() / 8.0 / 0.5).exp();
        assert!((sum - want).abs() < 0.16, "{i}: {sum} {want}");
    }
}

#[test]
fn fields_are_refused_with_what_would_do() {
    for (prior, says) in [
        ("gaussian_random_field(grid(0, 1, 9); terms = 3)", "`Matern` is wanted here"),
        ("gaussian_random_field(Matern(1); terms = 3)", "takes smoothness, correlation length"),
        ("gaussian_random_field(Matern(0, 1), grid(0, 1, 9); terms = 3)", "found 0, allowed: from 0.05"),
        ("gaussian_random_field(Matern(1, -1), grid(0, 1, 9); terms = 3)", "larger than 0"),
        ("gaussian_random_field(Matern(1, 1); terms = 3)", "one to three axes"),
        ("gaussian_random_field(Matern(1, 1), grid(1, 0, 9); terms = 3)", "no length"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 1); terms = 1)", "at least 2"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9))", "lacks `terms`"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9); terms = 10)", "at most 9"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9); term = 3)", "did you mean `terms`?"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9); terms = 3, terms = 3)", "given twice"),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9); terms = 3, std = 0)", "found 0"),
        (
            "gaussian_random_field(Matern(1, 1), grid(0, 1, 300), grid(0, 1, 300); terms = 3)",
            "too many points",
        ),
        ("gaussian_random_field(Matern(1, 1), grid(0, 1, 9); terms = 3", "is missing at the end"),
        ("gaussian_random_field(; terms = 3)", "is missing"),
        ("gaussian_random_field(terms = 3)", "needs a covariance"),
        ("gaussian_field(Matern(1, 1))", "this is not a prior"),
    ] {
        let text = format!("[f]\nprior = \"{prior}\"\nconstraint = \"no_constraint()\"\n");
        let fault = read(&text).expect_err(prior);
        let told =
            format!("{fault}\n{}\n{}", fault.picture(false), Explain::hint(&fault).unwrap_or_default());
        assert!(told.contains(says), "{prior}\n{told}");
    }
    let text = "[f]\nprior = \"gaussian_random_field(Matern(1, 1), grid(0, 1, 9); terms = 3)\"\nconstraint = \"[no_constraint(), no_constraint()]\"\n";
    assert!(read(text).unwrap_err().to_string().contains("wrong number of constraints"));
}
