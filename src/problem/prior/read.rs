//! From the tables of a prior file to blocks.
//!
//! Belongs here: which tables are calibrated, which keys they need, what to warn of.
//! Not here: the grammar of expressions, what a distribution is.

use std::sync::Arc;

use super::field::{Field, Spec};
use super::grammar::{self, Call, Expression, FieldCall, SampleRow};
use super::place::Fault;
use super::token::MOST_COMPONENTS;
use super::{
    Block, Constraint, Law, Prior, Regularisation, Spread, constrained_gaussian, constraint, constructor,
    field_call,
};
use crate::explain::{Marked, Place, Source, nearest, plain};
use crate::files::human::{Document, Names, Node, Table, Value};
use crate::numerics::Mat;

/// What the file and its warnings need to be told about.
struct Reader<'a> {
    source: &'a Arc<Source>,
    /// Random fields that were worked out before
    kept: Vec<Arc<Field>>,
    warnings: Vec<String>,
}

impl Prior {
    /// Read the dictionary of EKP.jl and ClimaParams: a table for each parameter, those with a `prior` other
    /// than `"fixed"` are calibrated. Rows are in order of appearance, unless `names` gives order and subset.
    ///
    /// # Errors
    /// The place in the file, down to the number in an expression.
    pub fn read(document: &Document, names: Option<&Names>) -> Result<Self, Marked> {
        Self::read_kept(document, names, Vec::new())
    }

    /// The prior of a document; fields in `kept` were read before and are shared, not read again.
    pub(super) fn read_kept(
        document: &Document,
        names: Option<&Names>,
        kept: Vec<Arc<Field>>,
    ) -> Result<Self, Marked> {
        let mut reader = Reader { source: &document.source, kept, warnings: Vec::new() };
        let mut calibrated = Vec::new();
        for (name, key, node) in &document.root.entries {
            let Value::Table(table) = &node.value else {
                reader.warnings.push(format!("`{name}` at the top level is no table and not used"));
                continue;
            };
            match table.get("prior") {
                Some(Node { value: Value::Text(text), .. }) if grammar::is_fixed(text) => {}
                Some(_) => calibrated.push((name, key, table)),
                None => reader.notice_lost_prior(name, table),
            }
        }
        if let Some(names) = names {
            calibrated = reader.chosen(document, names)?;
            if calibrated.is_empty() {
                let label = "allowed: at least one name, or no `names` for all that have a prior";
                return Err(names.place.marked("`names` is empty", label));
            }
        }
        if calibrated.is_empty() {
            let label = "no table has a `prior` other than `\"fixed\"`";
            return Err(Marked::new(reader.source, 0..0, "nothing is to be calibrated", label)
                .hint("for example: `[drag]` with `prior = \"constrained_gaussian(drag, 2, 1, 0, Inf)\"`"));
        }
        let mut blocks = Vec::with_capacity(calibrated.len());
        for (name, key, table) in &calibrated {
            blocks.push(reader.block(name, key, table)?);
        }
        let names =
            calibrated.iter().zip(&blocks).map(|((name, ..), b)| ((*name).clone(), b.constraints.len()));
        Ok(Self {
            names: names.collect(),
            blocks,
            dictionary: Arc::new(document.root.clone()),
            warnings: reader.warnings,
        })
    }
}

type Entry<'a> = (&'a String, &'a std::ops::Range<usize>, &'a Table);

impl Reader<'_> {
    /// The tables listed in `names`, in that order.
    fn chosen<'a>(&self, document: &'a Document, names: &Names) -> Result<Vec<Entry<'a>>, Marked> {
        let mut chosen: Vec<Entry<'a>> = Vec::new();
        let file = self.source.path.display();
        for (wanted, place) in names.iter() {
            let entry = document.root.entries.iter().find_map(|(name, key, node)| match &node.value {
                Value::Table(table) if name == wanted => Some((name, key, table)),
                _ => None,
            });
            let Some((name, key, table)) = entry else {
                let title = format!("`names` lists `{wanted}`, which is no table of `{file}`");
                return Err(self.unlisted(document, wanted, place, title));
            };
            if chosen.iter().any(|(other, ..)| *other == name) {
                let title = format!("`names` lists `{name}` twice");
                return Err(place.marked(title, "the second time").hint("each parameter has one place"));
            }
            let line = self.source.line(key.start);
            match table.get("prior").map(|node| &node.value) {
                None => {
                    let title = format!("`names` lists `{name}`, which has no `prior`");
                    let label = format!("`[{name}]` is at `{file}:{line}`");
                    return Err(place
                        .marked(title, label)
                        .hint("give it a `prior` there, or leave it out here"));
                }
                Some(Value::Text(text)) if grammar::is_fixed(text) => {
                    let title = format!("`names` lists `{name}`, which is fixed");
                    let label = format!("`[{name}]` is at `{file}:{line}`");
                    return Err(place
                        .marked(title, label)
                        .hint("give it a `prior` there, or leave it out here"));
                }
                Some(_) => chosen.push((name, key, table)),
            }
        }
        Ok(chosen)
    }

    /// A name that no table has.
    fn unlisted(&self, document: &Document, wanted: &str, place: &Place, title: String) -> Marked {
        let calibrated = document.root.entries.iter().filter(|(_, _, node)| match &node.value {
            Value::Table(table) => match table.get("prior").map(|node| &node.value) {
                Some(Value::Text(text)) => !grammar::is_fixed(text),
                found => found.is_some(),
            },
            _ => false,
        });
        let known: Vec<&str> = calibrated.map(|(name, ..)| name.as_str()).collect();
        let shown = if known.len() > 20 { &known[..20] } else { &known };
        let more = if known.len() > 20 { format!(" and {} more", known.len() - 20) } else { String::new() };
        let fault = place.marked(title, format!("with a prior there: {}{more}", shown.join(", ")));
        match nearest(wanted, &known) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        }
    }

    /// A table that passes through, though its author may have meant otherwise.
    fn notice_lost_prior(&mut self, name: &str, table: &Table) {
        for (key, _, node) in &table.entries {
            if ["prior", "priors"].contains(&key.to_lowercase().as_str()) {
                self.warnings.push(format!("`[{name}]` has `{key}` but no `prior`: it is not calibrated"));
            }
            if let Value::Table(inner) = &node.value
                && inner.get("prior").is_some()
            {
                let text =
                    format!("`[{name}.{key}]` has a `prior`, but only top-level tables are parameters");
                self.warnings.push(text);
            }
        }
        if table.get("constraint").is_some() {
            self.warnings.push(format!("`[{name}]` has a `constraint` but no `prior`: it is not calibrated"));
        }
    }

    fn block(&mut self, name: &str, key: &std::ops::Range<usize>, table: &Table) -> Result<Block, Marked> {
        let regularisation = self.regularisation(name, table)?;
        if let Some(Node { value: Value::Text(kind), .. }) = table.get("type")
            && kind != "float"
        {
            self.warnings.push(format!(
                "`[{name}]` is calibrated, but has `type = \"{kind}\"` instead of `\"float\"`"
            ));
        }
        let (node, text) = match table.get("prior") {
            Some(node @ Node { value: Value::Text(text), .. }) => (node, text),
            found => {
                let span = found.map_or(key.clone(), |node| node.span.clone());
                let kind = found.map_or("nothing", |node| node.value.kind());
                let label = format!("found {kind}, allowed: a string");
                let title = format!("`[{name}]`: `prior` is no string");
                return Err(Marked::new(self.source, span, title, label)
                    .hint("for example `prior = \"constrained_gaussian(name, mean, std, lower, upper)\"`"));
            }
        };
        let mark = |fault: Fault| fault.mark(self.source, node, text, name);
        let (spread, title) = match grammar::prior(text).map_err(mark)? {
            Expression::Gaussian(asked) => {
                let fit = constrained_gaussian::fit(&asked).map_err(mark)?;
                let repeats = match &asked.repeats {
                    Some(number) => number.count("`repeats`").map_err(mark)?,
                    None => 1,
                };
                self.notice_gaussian(name, &asked, &fit, table);
                let title = format!("constrained_gaussian({:?} ± {:?})", asked.mean.value, asked.std.value);
                return Ok(Block {
                    spread: Spread::Independent(vec![Law::Normal(fit.mu, fit.sigma); repeats]),
                    title: Some(title),
                    constraints: vec![fit.constraint; repeats],
                    regularisation,
                });
            }
            Expression::Field(call) => {
                let spec = field_call::spec(&call).map_err(mark)?;
                let title = spec.words();
                let field = self.field(spec, &call).map_err(mark)?;
                let points = field.spec.points();
                let constraints = self.constraints(name, key, table, 1)?.repeat(points);
                return Ok(Block {
                    spread: Spread::Field(field),
                    title: Some(title),
                    constraints,
                    regularisation,
                });
            }
            Expression::One(call) => (independent(&[call], 1).map_err(mark)?, None::<String>),
            Expression::Several(calls, times) => (independent(&calls, times).map_err(mark)?, None),
            Expression::Samples(rows) => {
                if rows.len() == 1 {
                    self.warnings.push(format!("`[{name}]`: EKP.jl does not read `Samples` of one row"));
                }
                (samples(&rows).map_err(|fault| fault.mark(self.source, node, text, name))?, None)
            }
        };
        let dim = match &spread {
            Spread::Independent(laws) => laws.len(),
            Spread::Samples(draws) => draws.nrows(),
            Spread::Field(_) => unreachable!("a field has returned above"),
        };
        let constraints = self.constraints(name, key, table, dim)?;
        Ok(Block { spread, title, constraints, regularisation })
    }

    /// The field that was asked for, as it was kept or worked out anew.
    fn field(&self, spec: Spec, call: &FieldCall) -> Result<Arc<Field>, Fault> {
        if let Some(kept) = self.kept.iter().find(|kept| kept.spec == spec) {
            return Ok(Arc::clone(kept));
        }
        Field::new(spec).map(Arc::new).map_err(|_| {
            let label = "its covariance has no principal functions: are lengths out of scale?";
            Fault::new(call.at.clone(), "this random field cannot be worked out", label)
        })
    }

    fn notice_gaussian(
        &mut self,
        name: &str,
        asked: &grammar::Gaussian,
        fit: &constrained_gaussian::Fit,
        table: &Table,
    ) {
        if asked.name != name {
            let text = format!(
                "`[{name}]`: its constrained_gaussian is called `{}`; the table's name is used",
                asked.name
            );
            self.warnings.push(text);
        }
        if fit.near_bound {
            self.warnings
                .push(format!("`[{name}]`: a bound lies within 1.2 standard deviations of the mean"));
        }
        if !fit.exact {
            self.warnings
                .push(format!("`[{name}]`: no distribution has exactly this mean and standard deviation"));
        }
        if table.get("constraint").is_some() {
            self.warnings.push(format!("`[{name}]`: `constraint` is ignored beside a constrained_gaussian"));
        }
    }

    fn constraints(
        &self,
        name: &str,
        key: &std::ops::Range<usize>,
        table: &Table,
        dim: usize,
    ) -> Result<Vec<Constraint>, Marked> {
        let Some(node) = table.get("constraint") else {
            let label = "add `constraint = \"no_constraint()\"` here, or another";
            let title = format!("`[{name}]` has a `prior` but no `constraint`");
            return Err(Marked::new(self.source, key.clone(), title, label)
                .hint("only `constrained_gaussian` brings its own bounds"));
        };
        let Value::Text(text) = &node.value else {
            let label = format!("found {}, allowed: a string", node.value.kind());
            let title = format!("`[{name}]`: `constraint` is no string");
            return Err(Marked::new(self.source, node.span.clone(), title, label));
        };
        let read = || {
            let (calls, times) = grammar::constraint(text)?;
            let one = calls.iter().map(constraint::of).collect::<Result<Vec<_>, _>>()?;
            let found = one.len().saturating_mul(times);
            if found == dim {
                return Ok(one.repeat(times));
            }
            let label = format!("found {found}, allowed: {dim}, one for each component of the prior");
            let fault = Fault::new(0..text.len(), "wrong number of constraints", label);
            Err(match calls.first() {
                Some(call) if found == 1 => {
                    let call = text.get(call.at.clone()).unwrap_or("…");
                    fault.hint(format!("for the same on all: `repeat([{call}], {dim})`"))
                }
                _ => fault,
            })
        };
        read().map_err(|fault: Fault| {
            let advice = "for example `no_constraint()`, `bounded_below(0)`, `bounded(0, 1)`";
            fault.or_hint(advice).mark(self.source, node, text, name)
        })
    }

    fn regularisation(&self, name: &str, table: &Table) -> Result<Option<Regularisation>, Marked> {
        let coefficient = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(node) => match node.value.number().filter(|x| x.is_finite()) {
                Some(x) => Ok(Some(x)),
                None => {
                    let title = format!("`[{name}]`: `{key}` is no finite number");
                    let found = node.value.number().map_or(node.value.kind().to_owned(), plain);
                    let label = format!("found {found}, allowed: a finite number");
                    Err(Marked::new(self.source, node.span.clone(), title, label))
                }
            },
        };
        match (coefficient("L1")?, coefficient("L2")?) {
            (None, None) => Ok(None),
            (Some(x), None) => Ok(Some(Regularisation::L1(x))),
            (None, Some(x)) => Ok(Some(Regularisation::L2(x))),
            (Some(_), Some(_)) => {
                let span = table.get("L2").map_or(0..0, |node| node.span.clone());
                let title = format!("`[{name}]` has both `L1` and `L2`");
                Err(Marked::new(self.source, span, title, "allowed: at most one of the two"))
            }
        }
    }
}

fn independent(calls: &[Call], times: usize) -> Result<Spread, Fault> {
    let mut laws = Vec::new();
    for call in calls {
        let (law, count) = constructor::of(call)?;
        if (laws.len() + count).saturating_mul(times) > MOST_COMPONENTS {
            let label = format!("allowed: {MOST_COMPONENTS}");
            return Err(Fault::new(call.at.clone(), "this parameter has too many components", label));
        }
        laws.resize(laws.len() + count, law);
    }
    if laws.is_empty() {
        return Err(Fault::new(
            0..0,
            "this parameter has no component",
            "the list of distributions is empty",
        ));
    }
    Ok(Spread::Independent(laws.repeat(times)))
}

/// Rows of the text are components, columns are draws.
fn samples(rows: &[SampleRow]) -> Result<Spread, Fault> {
    let draws = rows.first().map_or(0, |(row, _)| row.len());
    for (row, at) in rows {
        if row.len() != draws {
            let label = format!("found {} numbers, allowed: {draws} as in the first row", row.len());
            return Err(Fault::new(at.clone(), "the rows of `Samples` differ in length", label));
        }
        if draws < 2 {
            let fault =
                Fault::new(at.clone(), "`Samples` has one draw", "allowed: at least 2 numbers in a row");
            return Err(fault.hint("rows (ended by `;`) are components, the numbers in a row are draws"));
        }
    }
    Ok(Spread::Samples(Mat::from_fn(rows.len(), draws, |i, j| rows[i].0[j])))
}
