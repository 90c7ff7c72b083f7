//! The expressions of a prior file, read as Julia would read them, but never evaluated.
//!
//! ```text
//! prior      := "fixed" | param | vecparam | samples | cg | field
//! param      := "Parameterized(" dist ")"
//! vecparam   := "VectorOfParameterized(" ( "[" dist {"," dist} "]" | "repeat([" dist "]," INT ")" ) ")"
//! dist       := NAME "(" [ NUM {"," NUM} ] ")"
//! samples    := "Samples([" NUM {space NUM} { ";" NUM {space NUM} } "])"
//! field      := "gaussian_random_field(" "Matern(" NUM "," NUM ")" { "," "grid(" NUM "," NUM "," INT ")" }
//!               { (","|";") ("terms"|"mean"|"std") "=" NUM } ")"
//! cg         := "constrained_gaussian(" NAME "," NUM "," NUM "," BOUND "," BOUND [(","|";") "repeats = " INT] ")"
//! constraint := c | "[" c {"," c} "]" | "repeat([" c "]," INT ")"
//! c          := "no_constraint()" | "bounded_below(" BOUND ")" | "bounded_above(" BOUND ")"
//!             | "bounded(" BOUND "," BOUND ")"
//! ```
//!
//! Wider than EKP.jl in what stays unambiguous: `pi`, one row of samples, `Inf` as a bound of a
//! constraint. Belongs here: text to tree, with the place of every leaf. Not here: what a name means.

use std::ops::Range;

use super::place::Fault;
use super::token::{Number, Reader};
use crate::explain::{nearest, one_of};

/// Outer constructors of a prior.
const OUTER: [&str; 5] =
    ["Parameterized", "VectorOfParameterized", "Samples", "constrained_gaussian", "gaussian_random_field"];

/// `Name(1.0, 2.0)`
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) name_at: Range<usize>,
    pub(super) arguments: Vec<Number>,
    /// All of it
    pub(super) at: Range<usize>,
}

/// `constrained_gaussian(…)`
#[derive(Debug, Clone)]
pub(super) struct Gaussian {
    pub(super) name: String,
    pub(super) mean: Number,
    pub(super) std: Number,
    pub(super) lower: Number,
    pub(super) upper: Number,
    pub(super) repeats: Option<Number>,
}

/// `gaussian_random_field(…)`
#[derive(Debug, Clone)]
pub(super) struct FieldCall {
    /// `Matern(…)`, then `grid(…)` for each axis
    pub(super) calls: Vec<Call>,
    /// `terms = 50`
    pub(super) options: Vec<(String, Range<usize>, Number)>,
    /// All of it
    pub(super) at: Range<usize>,
}

/// The stored draws of one component, and their place.
pub(super) type SampleRow = (Vec<f64>, Range<usize>);

/// What a `prior` key says.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// One distribution
    One(Call),
    /// Independent distributions, each as often as the number says
    Several(Vec<Call>, usize),
    Samples(Vec<SampleRow>),
    Gaussian(Gaussian),
    Field(FieldCall),
}

/// Does the text of a `prior` key say that there is nothing to calibrate?
pub(super) fn is_fixed(text: &str) -> bool {
    text.trim() == "fixed"
}

/// Read the text of a `prior` key that is not fixed.
pub(super) fn prior(text: &str) -> Result<Expression, Fault> {
    let mut reader = Reader::new(text);
    if text.trim().is_empty() {
        let label = format!("allowed: `fixed`, {}", one_of(&OUTER));
        return Err(Fault::new(0..0, "`prior` is empty", label));
    }
    let (name, name_at) = reader.name("a prior")?;
    let expression = match name {
        "Parameterized"
        | "VectorOfParameterized"
        | "Samples"
        | "constrained_gaussian"
        | "gaussian_random_field" => {
            reader.expect('(', "after the constructor")?;
            let inside = match name {
                "Parameterized" => Expression::One(reader.call()?),
                "VectorOfParameterized" => {
                    reader.list(Reader::call).map(|(c, n)| Expression::Several(c, n))?
                }
                "Samples" => Expression::Samples(reader.matrix()?),
                "gaussian_random_field" => Expression::Field(reader.field(name_at.start)?),
                _ => Expression::Gaussian(reader.gaussian()?),
            };
            reader.expect(')', &format!("at the end of `{name}(…`"))?;
            inside
        }
        other => return Err(unknown_outer(other, name_at, text)),
    };
    reader.end()?;
    Ok(expression)
}

/// Read the text of a `constraint` key: the calls and how often the list repeats.
pub(super) fn constraint(text: &str) -> Result<(Vec<Call>, usize), Fault> {
    let mut reader = Reader::new(text);
    reader.space();
    let list = reader.rest().starts_with('[') || reader.rest().starts_with("repeat");
    let found = if list { reader.list(Reader::call)? } else { (vec![reader.call()?], 1) };
    reader.end()?;
    Ok(found)
}

fn unknown_outer(name: &str, at: Range<usize>, text: &str) -> Fault {
    let label = format!("found `{name}`, allowed: `fixed`, {}", one_of(&OUTER));
    let fault = Fault::new(at, "this is not a prior", label);
    if super::constructor::is_known(name) {
        return fault.hint(format!("write `Parameterized({})`", text.trim()));
    }
    let mut all = OUTER.to_vec();
    all.push("fixed");
    match nearest(name, &all) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

impl Reader<'_> {
    /// `Name(1, 2)`
    fn call(&mut self) -> Result<Call, Fault> {
        let (name, name_at) = self.name("a distribution or constraint")?;
        // An argument that is no number has its best advice from the name.
        self.arguments(name.starts_with("bounded"))
            .map(|arguments| Call {
                name: name.into(),
                name_at: name_at.clone(),
                arguments,
                at: name_at.start..self.at,
            })
            .map_err(|fault| match name {
                _ if self.at == name_at.end => {
                    let label = "allowed: a name with its numbers in brackets, as `Normal(0, 1)`";
                    Fault::new(name_at.clone(), format!("`{name}` stands alone"), label)
                }
                "MvNormal" => {
                    fault.hint("write `MvNormal(k, s)`: k components, each with standard deviation s")
                }
                _ => fault,
            })
    }

    fn arguments(&mut self, bounds: bool) -> Result<Vec<Number>, Fault> {
        let mut arguments = Vec::new();
        self.expect('(', "after the name")?;
        if self.eat(')') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.number(bounds)?);
            if self.eat(',') {
                continue;
            }
            if self.eat(')') {
                return Ok(arguments);
            }
            return Err(self.lacks("`,` or `)` is missing after this number"));
        }
    }

    /// `[a, b]` or `repeat([a], 3)`: the items and how often the list repeats.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<(Vec<T>, usize), Fault> {
        self.space();
        let repeat = self.rest().starts_with("repeat");
        if repeat {
            self.at += "repeat".len();
            self.expect('(', "after `repeat`")?;
        }
        self.expect('[', "before the list")?;
        let start = self.at;
        let mut items = Vec::new();
        if !self.eat(']') {
            loop {
                items.push(item(self)?);
                if !self.eat(',') {
                    break;
                }
            }
            self.expect(']', "at the end of the list")?;
        }
        if !repeat {
            return Ok((items, 1));
        }
        if items.len() != 1 {
            let label = format!("found {}, allowed: one", items.len());
            let fault = Fault::new(start..self.at - 1, "`repeat` takes a list of one", label);
            return Err(fault.hint("write the whole list without `repeat`"));
        }
        self.expect(',', "before the number of repetitions")?;
        let times = self.number(false)?.count("the number of repetitions")?;
        self.expect(')', "at the end of `repeat(…`")?;
        Ok((items, times))
    }

    /// `[1 2; 3 4]`, with rows ended by `;` or a line end, or `[1, 2]` for one row.
    fn matrix(&mut self) -> Result<Vec<SampleRow>, Fault> {
        self.expect('[', "before the samples")?;
        self.space();
        let mut rows: Vec<SampleRow> = Vec::new();
        let mut row: Vec<f64> = Vec::new();
        let (mut start, mut commas) = (self.at, false);
        loop {
            let number = self.number(false)?;
            row.push(number.value);
            let gap = &self.rest()[..self.rest().len() - self.rest().trim_start().len()];
            self.space();
            let next = self.peek();
            if next == Some(',') && rows.is_empty() && (commas || row.len() == 1) {
                self.at += 1;
                commas = true;
                continue;
            }
            let ends = matches!(next, Some(';' | ']')) || gap.contains('\n');
            if !ends && (commas || gap.is_empty()) {
                return Err(self.bad_matrix());
            }
            if ends {
                rows.push((std::mem::take(&mut row), start..number.at.end));
                self.eat(';');
                self.space();
                start = self.at;
                if self.eat(']') {
                    return Ok(rows);
                }
            }
        }
    }

    fn bad_matrix(&self) -> Fault {
        let (found, at) = self.here();
        Fault::new(at, "the samples cannot be read", format!("found {found}, allowed: a space, `;` or `]`"))
            .hint("write one row for each component: `Samples([0.1 0.4 -0.2; 1.5 1.1 1.9])`")
    }

    /// The inside of `gaussian_random_field(…)`.
    fn field(&mut self, start: usize) -> Result<FieldCall, Fault> {
        let (mut calls, mut options) = (Vec::new(), Vec::new());
        loop {
            self.space();
            let before = self.at;
            let (name, name_at) = self.name("a kernel, a grid or a keyword")?;
            if self.eat('=') {
                options.push((name.to_owned(), name_at, self.number(false)?));
            } else {
                self.at = before;
                calls.push(self.call()?);
            }
            if !(self.eat(',') || self.eat(';')) {
                return Ok(FieldCall { calls, options, at: start..self.at });
            }
        }
    }

    /// The inside of `constrained_gaussian(…)`.
    fn gaussian(&mut self) -> Result<Gaussian, Fault> {
        let name = self.quotable_name()?;
        let mut numbers = Vec::with_capacity(4);
        for (what, bound) in [("mean", false), ("std", false), ("lower", true), ("upper", true)] {
            let why = format!("before the `{what}` of `constrained_gaussian(name, mean, std, lower, upper)`");
            self.expect(',', &why)?;
            numbers.push(self.number(bound)?);
        }
        let mut repeats = None;
        if self.eat(';') || self.eat(',') {
            self.space();
            if self.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
                let title = "`constrained_gaussian` has too many numbers";
                let label = "after the upper bound only `repeats = 3` may follow";
                return Err(Fault::new(self.here().1, title, label)
                    .hint("it is `constrained_gaussian(name, mean, std, lower, upper)`"));
            }
            let (keyword, at) = self.name("a keyword")?;
            if keyword != "repeats" {
                let label = format!("found `{keyword}`, allowed: `repeats`");
                return Err(Fault::new(at, "unknown keyword of `constrained_gaussian`", label));
            }
            self.expect('=', "after `repeats`")?;
            repeats = Some(self.number(false)?);
        }
        let [mean, std, lower, upper] =
            numbers.try_into().expect("the loop above pushes one number for each of four names");
        Ok(Gaussian { name, mean, std, lower, upper, repeats })
    }

    fn quotable_name(&mut self) -> Result<String, Fault> {
        if !self.eat('"') {
            let name = self.name("the name of the parameter");
            let form = "it is `constrained_gaussian(name, mean, std, lower, upper)`";
            return Ok(name.map_err(|fault| fault.hint(form))?.0.to_owned());
        }
        let Some(length) = self.rest().find('"') else {
            let label = "a quote opens here and does not close";
            return Err(Fault::new(self.at - 1..self.at, "the name has no end", label));
        };
        let name = self.rest()[..length].to_owned();
        self.at += length + 1;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_lists_and_repeats_may_be_written_loosely() {
        assert!(is_fixed(" fixed ") && !is_fixed("Fixed"));
        assert!(matches!(prior("Parameterized( Normal(0,5) )"), Ok(Expression::One(_))));
        let Ok(Expression::Several(calls, 6)) = prior("VectorOfParameterized(repeat([Normal(0,1)],6))")
        else {
            panic!("six normals")
        };
        assert_eq!(calls.len(), 1);
        for repeats in ["; repeats = 3", ", repeats=3", ";repeats =3"] {
            let Ok(Expression::Gaussian(g)) =
                prior(&format!("constrained_gaussian(ρ₁,1,2,-Inf,Inf{repeats})"))
            else {
                panic!("{repeats}")
            };
            assert_eq!((g.name.as_str(), g.repeats.unwrap().value), ("ρ₁", 3.0));
        }
        assert!(matches!(
            prior("constrained_gaussian(\"my name\", 1, 2, 0, Inf)"),
            Ok(Expression::Gaussian(_))
        ));
        assert_eq!(constraint(" [ bounded( 0 ,5) ] ").unwrap().0[0].name, "bounded");
        assert_eq!(constraint("repeat([no_constraint()], 4)").unwrap().1, 4);
    }

    #[test]
    fn samples_keep_rows_apart_and_know_a_difference_from_two_numbers() {
        let rows = |text: &str| match prior(text) {
            Ok(Expression::Samples(rows)) => Some(rows.into_iter().map(|(row, _)| row).collect::<Vec<_>>()),
            _ => None,
        };
        let two = Some(vec![vec![0.1, 0.4, -0.2], vec![1.5, 1.1, 1.9]]);
        assert_eq!(rows("Samples([0.1 0.4 -0.2; 1.5 1.1 1.9])"), two);
        assert_eq!(rows("Samples([ 0.1 0.4 -0.2 ;1.5 1.1 1.9; ] )"), two);
        assert_eq!(rows("Samples([0.1 0.4 -0.2\n 1.5 1.1 1.9])"), two);
        assert_eq!(rows("Samples([1.0, 2.0])"), Some(vec![vec![1.0, 2.0]]));
        // In Julia `1-2` and `1 - 2` are one number, so that a reader of both must not take them for two.
        for text in
            ["Samples([1-2 3])", "Samples([1 - 2 3])", "Samples([1, 2; 3, 4])", "Samples([])", "Samples([1 2"]
        {
            assert!(rows(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_grammar_panic(text in "\\PC{0,60}") {
            let _ = prior(&text);
            let _ = constraint(&text);
        }

        #[test]
        fn no_near_miss_makes_the_grammar_panic(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "Parameterized", "VectorOfParameterized", "Samples", "constrained_gaussian", "(", ")", "[",
                    "]", ",", ";", " ", "\n", "-", "1", "2.5", "1e", "Inf", "x", "β", "repeat", "repeats", "=",
                    "Normal", "MvNormal", "bounded", "no_constraint", "\"", ".", "_", "f0", "é", "1e999",
                ]),
                0..14,
            ),
        ) {
            let text = parts.concat();
            let _ = prior(&text);
            let _ = constraint(&text);
        }
    }
}
