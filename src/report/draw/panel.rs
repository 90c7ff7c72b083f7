//! A panel: a frame with two axes, and marks inside it. Marks outside of the axes are cut off at the frame.

use crate::report::draw::{Anchor, Axis, Picture, escaped, number, width_of};

/// Size of numbers at ticks.
const SMALL: f64 = 8.0;
/// Size of labels.
const LABEL: f64 = 9.0;

/// Where a panel's axes stand in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Left end
    pub left: f64,
    /// Upper end
    pub top: f64,
    /// Points
    pub width: f64,
    /// Points
    pub height: f64,
}

/// A line's look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// `#rrggbb`, or `ink`: as text
    pub colour: &'static str,
    /// Points
    pub width: f64,
    /// Lengths of dash and gap
    pub dash: Option<(f64, f64)>,
    /// 0 to 1
    pub opacity: f64,
}

impl Stroke {
    /// A plain line.
    pub const fn of(colour: &'static str) -> Self {
        Self { colour, width: 1.5, dash: None, opacity: 1.0 }
    }

    /// Broken.
    pub const fn dashed(mut self) -> Self {
        self.dash = Some((4.0, 3.0));
        self
    }

    /// Of another width.
    pub const fn wide(mut self, width: f64) -> Self {
        self.width = width;
        self
    }

    /// Seen through.
    pub const fn faint(mut self, opacity: f64) -> Self {
        self.opacity = opacity;
        self
    }

    fn attributes(&self) -> String {
        let class = if self.colour == "ink" {
            "class=\"rule\" stroke=\"#222222\"".into()
        } else {
            format!("stroke=\"{}\"", self.colour)
        };
        let dash = self.dash.map_or(String::new(), |(a, b)| format!(" stroke-dasharray=\"{a} {b}\""));
        let opacity =
            if self.opacity < 1.0 { format!(" stroke-opacity=\"{}\"", self.opacity) } else { String::new() };
        format!("{class} stroke-width=\"{}\"{dash}{opacity}", self.width)
    }
}

/// Where a legend stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    /// Upper right
    TopRight,
    /// Upper left
    TopLeft,
    /// Lower right
    BottomRight,
    /// In a row above the frame, beside the title
    Above,
    /// In a row under everything, at the picture's foot
    Foot,
}

/// Where something is in the picture, points
type Place = (f64, f64);

enum Mark {
    Line(Stroke),
    Dot(&'static str),
    Box(&'static str, f64),
}

/// A panel under way.
pub struct Panel<'a> {
    picture: &'a mut Picture,
    frame: Frame,
    x: Axis,
    y: Axis,
    clip: usize,
    legend: Vec<(Mark, String)>,
}

impl<'a> Panel<'a> {
    /// Frame, grid and axes.
    pub fn new(picture: &'a mut Picture, frame: Frame, title: &str, x: Axis, y: Axis) -> Self {
        let Frame { left, top, width, height } = frame;
        let clip = picture.clips;
        picture.clips += 1;
        picture.put(&format!(
            "<clipPath id=\"clip{clip}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>",
            number(left),
            number(top),
            number(width),
            number(height)
        ));
        let mut panel = Self { picture, frame, x, y, clip, legend: Vec::new() };
        panel.axes();
        if !title.is_empty() {
            panel.picture.heading((left, top - 7.0), LABEL, title);
        }
        panel
    }

    fn axes(&mut self) {
        let Frame { left, top, width, height } = self.frame;
        let (right, bottom) = (left + width, top + height);
        let rule = |x1: f64, y1: f64, x2: f64, y2: f64, class: &str, colour: &str| {
            let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
            format!(
                "<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\" stroke=\"{colour}\" stroke-width=\"0.6\" fill=\"none\"/>"
            )
        };
        let widest =
            |ticks: &[(f64, String)]| ticks.iter().map(|(_, t)| width_of(t, SMALL)).fold(SMALL, f64::max);
        // As many ticks as have room beside each other
        let along = |axis: &Axis| {
            let probe = axis.ticks(6);
            ((width / (1.5 * widest(&probe))) as usize).clamp(2, 8)
        };
        let mut label_at = left - 8.0;
        for (x, text) in self.x.ticks(along(&self.x)) {
            let at = left + self.x.place(x) * width;
            if (left - 0.5..=right + 0.5).contains(&at) {
                self.picture.put(&rule(at, top, at, bottom, "grid", "#e4e4e4"));
                self.picture.put(&rule(at, bottom, at, bottom + 3.0, "rule", "#222222"));
                if !self.x.is_quiet() {
                    self.picture.text((at, bottom + 12.0), SMALL, Anchor::Middle, &text);
                }
            }
        }
        for (y, text) in self.y.ticks(((height / 26.0) as usize).clamp(2, 8)) {
            let at = bottom - self.y.place(y) * height;
            if (top - 0.5..=bottom + 0.5).contains(&at) {
                self.picture.put(&rule(left, at, right, at, "grid", "#e4e4e4"));
                if !self.y.is_quiet() {
                    self.picture.put(&rule(left - 3.0, at, left, at, "rule", "#222222"));
                    self.picture.text((left - 5.0, at + 3.0), SMALL, Anchor::End, &text);
                    label_at = label_at.min(left - 11.0 - width_of(&text, SMALL));
                }
            }
        }
        self.picture.put(&rule(left, bottom, right, bottom, "rule", "#222222"));
        self.picture.put(&rule(left, top, left, bottom, "rule", "#222222"));
        let (x, y) = (self.x.label.clone(), self.y.label.clone());
        if !x.is_empty() {
            self.picture.text((left + width / 2.0, bottom + 26.0), LABEL, Anchor::Middle, &x);
        }
        if !y.is_empty() {
            self.picture.upright((label_at.max(9.0), top + height / 2.0), LABEL, &y);
        }
    }

    fn at(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let Frame { left, top, width, height } = self.frame;
        let (x, y) = (left + self.x.place(x) * width, top + (1.0 - self.y.place(y)) * height);
        // A mark far outside is cut off; numbers without end are no picture.
        (x.is_finite() && y.is_finite()).then(|| (x.clamp(-1e5, 1e5), y.clamp(-1e5, 1e5)))
    }

    fn put(&mut self, element: &str) {
        let clip = self.clip;
        self.picture.put(&format!("<g clip-path=\"url(#clip{clip})\">{element}</g>"));
    }

    /// A line through points in order; it is broken where one has no place.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let mut path = String::new();
        let mut pen = 'M';
        for &(x, y) in points {
            match self.at(x, y) {
                Some((x, y)) => {
                    path.push_str(&format!("{pen}{} {}", number(x), number(y)));
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        if !path.is_empty() {
            self.put(&format!(
                "<path d=\"{path}\" fill=\"none\" stroke-linejoin=\"round\" {}/>",
                stroke.attributes()
            ));
        }
    }

    /// Dots.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: &'static str, radius: f64, opacity: f64) {
        let dots: String = points
            .iter()
            .filter_map(|&(x, y)| self.at(x, y))
            .map(|(x, y)| format!("<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\"/>", number(x), number(y)))
            .collect();
        let fill = if colour == "ink" {
            "class=\"ink\" fill=\"#222222\"".into()
        } else {
            format!("fill=\"{colour}\"")
        };
        self.put(&format!("<g {fill} fill-opacity=\"{opacity}\">{dots}</g>"));
    }

    /// Circles around what is to be seen.
    pub fn rings(&mut self, points: &[(f64, f64)], radius: f64) {
        let ring = |(x, y): (f64, f64)| {
            let (x, y) = (number(x), number(y));
            format!(
                "<circle class=\"rule\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" stroke=\"#222222\" stroke-width=\"0.9\" fill=\"none\"/>"
            )
        };
        let rings: String = points.iter().filter_map(|&(x, y)| self.at(x, y)).map(ring).collect();
        self.put(&rings);
    }

    /// The area between two curves over common places: (x, low, high).
    pub fn band(&mut self, points: &[(f64, f64, f64)], colour: &str, opacity: f64) {
        let there: Vec<_> =
            points.iter().filter_map(|&(x, lo, hi)| Some((self.at(x, lo)?, self.at(x, hi)?))).collect();
        self.area(&there, colour, opacity);
    }

    fn area(&mut self, there: &[(Place, Place)], colour: &str, opacity: f64) {
        let upper = there.iter().map(|(_, hi)| hi);
        let lower = there.iter().rev().map(|(lo, _)| lo);
        let path: Vec<String> =
            upper.chain(lower).map(|(x, y)| format!("{} {}", number(*x), number(*y))).collect();
        if there.len() > 1 {
            self.put(&format!(
                "<path d=\"M{}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
                path.join("L")
            ));
        }
    }

    /// The area between two curves one beside the other: (y, left, right).
    pub fn upright_band(&mut self, points: &[(f64, f64, f64)], colour: &str, opacity: f64) {
        let there: Vec<_> =
            points.iter().filter_map(|&(y, lo, hi)| Some((self.at(lo, y)?, self.at(hi, y)?))).collect();
        self.area(&there, colour, opacity);
    }

    /// Upright bars from low to high: (x, low, high).
    pub fn ranges(&mut self, points: &[(f64, f64, f64)], stroke: Stroke) {
        let path: String = points
            .iter()
            .filter_map(|&(x, lo, hi)| Some((self.at(x, lo)?, self.at(x, hi)?)))
            .map(|(lo, hi)| format!("M{} {}L{} {}", number(lo.0), number(lo.1), number(hi.0), number(hi.1)))
            .collect();
        if !path.is_empty() {
            self.put(&format!("<path d=\"{path}\" fill=\"none\" {}/>", stroke.attributes()));
        }
    }

    /// A filled rectangle between two corners.
    pub fn block(&mut self, (x0, x1): (f64, f64), (y0, y1): (f64, f64), colour: &str, opacity: f64) {
        let (Some(a), Some(b)) = (self.at(x0, y0), self.at(x1, y1)) else { return };
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        self.put(&format!(
            "<rect shape-rendering=\"crispEdges\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            number(x),
            number(y),
            number((a.0 - b.0).abs().max(0.4)),
            number((a.1 - b.1).abs())
        ));
    }

    /// A word inside the frame.
    pub fn note(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        if let Some(at) = self.at(x, y) {
            self.picture.text((at.0, at.1 - 3.0), SMALL, anchor, text);
        }
    }

    /// A word on a dark area, in the colour of the paper; it ends there.
    pub fn note_within(&mut self, x: f64, y: f64, text: &str) {
        if let Some(at) = self.at(x, y) {
            self.picture.put(&format!(
                "<text class=\"paper\" x=\"{}\" y=\"{}\" font-size=\"{SMALL}\" text-anchor=\"end\" fill=\"#ffffff\">{}</text>",
                number(at.0),
                number(at.1 - 3.0),
                escaped(text)
            ));
        }
    }

    /// Name a line in the legend.
    pub fn name_line(&mut self, stroke: Stroke, name: &str) {
        self.legend.push((Mark::Line(stroke), name.to_owned()));
    }

    /// Name dots in the legend.
    pub fn name_dots(&mut self, colour: &'static str, name: &str) {
        self.legend.push((Mark::Dot(colour), name.to_owned()));
    }

    /// Name an area in the legend.
    pub fn name_area(&mut self, colour: &'static str, opacity: f64, name: &str) {
        self.legend.push((Mark::Box(colour, opacity), name.to_owned()));
    }

    /// Names of lines one under the other, in a place of their own.
    pub fn names<'n>(picture: &mut Picture, frame: Frame, lines: impl Iterator<Item = (Stroke, &'n str)>) {
        for (k, (stroke, name)) in lines.enumerate() {
            let y = frame.top + 6.0 + 12.0 * k as f64;
            picture.put(&entry(&Mark::Line(stroke), name, frame.left, y));
        }
    }

    /// Draw the legend, over everything drawn so far.
    pub fn legend(self, corner: Corner) {
        if self.legend.is_empty() {
            return;
        }
        let Frame { left, top, width, height } = self.frame;
        let wide = |name: &str| width_of(name, SMALL) + 30.0;
        let row: f64 = self.legend.iter().map(|(_, name)| wide(name) + 4.0).sum();
        let begin = match corner {
            Corner::Above => Some((left + width - row, top - 10.0)),
            Corner::Foot => Some(((self.picture.width - row) / 2.0, self.picture.height - 9.0)),
            _ => None,
        };
        if let Some((mut x, y)) = begin {
            for (mark, name) in &self.legend {
                self.picture.put(&entry(mark, name, x, y));
                x += wide(name) + 4.0;
            }
            return;
        }
        let widest = self.legend.iter().map(|(_, name)| wide(name)).fold(0.0, f64::max);
        let tall = self.legend.len() as f64 * 12.0 + 4.0;
        let x = if corner == Corner::TopLeft { left + 4.0 } else { left + width - widest - 4.0 };
        let y = if corner == Corner::BottomRight { top + height - tall - 4.0 } else { top + 4.0 };
        let [a, b, c, d] = [x, y, widest, tall].map(number);
        self.picture.put(&format!(
            "<rect class=\"paper\" x=\"{a}\" y=\"{b}\" width=\"{c}\" height=\"{d}\" fill=\"#ffffff\" fill-opacity=\"0.85\"/>"
        ));
        for (k, (mark, name)) in self.legend.iter().enumerate() {
            self.picture.put(&entry(mark, name, x + 2.0, y + 8.0 + 12.0 * k as f64));
        }
    }
}

/// A mark and its name; `y` is their middle.
fn entry(mark: &Mark, name: &str, x: f64, y: f64) -> String {
    let (a, b, c, m) = (number(x), number(x + 16.0), number(x + 8.0), number(y));
    let sign = match mark {
        Mark::Line(stroke) => format!("<path d=\"M{a} {m}L{b} {m}\" fill=\"none\" {}/>", stroke.attributes()),
        Mark::Dot("ink") => format!("<circle class=\"ink\" cx=\"{c}\" cy=\"{m}\" r=\"2\" fill=\"#222222\"/>"),
        Mark::Dot(colour) => format!("<circle cx=\"{c}\" cy=\"{m}\" r=\"2\" fill=\"{colour}\"/>"),
        Mark::Box(colour, opacity) => format!(
            "<rect x=\"{a}\" y=\"{}\" width=\"16\" height=\"8\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>",
            number(y - 4.0)
        ),
    };
    let (x, y, name) = (number(x + 20.0), number(y + 3.0), escaped(name));
    format!(
        "{sign}<text class=\"ink\" x=\"{x}\" y=\"{y}\" font-size=\"{SMALL}\" fill=\"#222222\">{name}</text>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_without_a_place_leave_a_gap_and_no_broken_number() {
        let mut picture = Picture::new(100.0, 100.0, "t");
        let frame = Frame { left: 10.0, top: 10.0, width: 80.0, height: 80.0 };
        let (x, y) = (Axis::linear("x", (0.0, 4.0)), Axis::log("y", 10, (1.0, 100.0)));
        let mut panel = Panel::new(&mut picture, frame, "a", x, y);
        panel.line(&[(0.0, 1.0), (1.0, 10.0), (2.0, 0.0), (3.0, 100.0), (4.0, 10.0)], Stroke::of("#000000"));
        panel.dots(&[(f64::NAN, 1.0), (2.0, f64::INFINITY)], "#000000", 1.0, 1.0);
        panel.name_dots("ink", "what");
        panel.legend(Corner::TopRight);
        let svg = picture.svg();
        assert!(svg.contains("M10 90L30 50M70 10L90 50"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
