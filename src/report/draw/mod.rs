//! Drawing: pictures as SVG text, made of panels with axes; PNG and PDF out of the same text.
//!
//! Sizes are points (1/72 inch). Colours of text, axes and paper carry a class, so that a page can turn them for
//! a dark screen; data have the colours of Okabe & Ito (2008), which colour-blind readers can tell apart.
//! Belongs here: scales, lines, bands, bars, legends. Not here: what is shown, and why (`figures`).

mod panel;
#[cfg(feature = "figures")]
pub mod render;
mod scale;

use std::fmt::Write as _;

pub use panel::{Corner, Frame, Panel, Stroke};
pub use scale::{Axis, padded};

/// Blue.
pub const BLUE: &str = "#0072b2";
/// Vermilion.
pub const RED: &str = "#d55e00";
/// Bluish green.
pub const GREEN: &str = "#009e73";
/// Orange.
pub const ORANGE: &str = "#e69f00";
/// Sky blue.
pub const SKY: &str = "#56b4e9";
/// Reddish purple.
pub const PINK: &str = "#cc79a7";
/// What was before, or is only for comparison.
pub const GREY: &str = "#8c8c8c";

/// Colours of things that stand side by side.
pub const COLOURS: [&str; 6] = [BLUE, RED, GREEN, ORANGE, PINK, SKY];

/// The colour of the k-th of several things; from the seventh on they repeat.
pub fn colour(k: usize) -> &'static str {
    COLOURS[k % COLOURS.len()]
}

/// Perceptually even colours from dark blue (0) to yellow (1): viridis (Smith & van der Walt 2015, CC0), by nine of
/// its colours and straight lines between them.
pub fn viridis(share: f64) -> String {
    const ANCHORS: [[f64; 3]; 9] = [
        [68.0, 1.0, 84.0],
        [71.0, 44.0, 122.0],
        [59.0, 81.0, 139.0],
        [44.0, 113.0, 142.0],
        [33.0, 144.0, 141.0],
        [39.0, 173.0, 129.0],
        [92.0, 200.0, 99.0],
        [170.0, 220.0, 50.0],
        [253.0, 231.0, 37.0],
    ];
    let at = share.clamp(0.0, 1.0) * (ANCHORS.len() - 1) as f64;
    let k = (at as usize).min(ANCHORS.len() - 2);
    let mix =
        |c: usize| (ANCHORS[k][c] + (at - k as f64) * (ANCHORS[k + 1][c] - ANCHORS[k][c])).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

/// Which end of a text is at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there
    Start,
    /// It is centred there
    Middle,
    /// It ends there
    End,
}

impl Anchor {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A picture under way.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Points
    pub width: f64,
    /// Points
    pub height: f64,
    /// For people who cannot see it
    title: String,
    body: String,
    clips: usize,
}

impl Picture {
    /// Empty paper.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), body: String::new(), clips: 0 }
    }

    /// A line of text; `size` in points.
    pub fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let _ = writeln!(
            self.body,
            "<text class=\"ink\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{}\" fill=\"#222222\">{}</text>",
            anchor.word(),
            escaped(text)
        );
    }

    /// The same, bold.
    pub fn heading(&mut self, at: (f64, f64), size: f64, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let _ = writeln!(
            self.body,
            "<text class=\"ink\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"bold\" fill=\"#222222\">{}</text>",
            escaped(text)
        );
    }

    /// A text that reads upwards, centred.
    fn upright(&mut self, at: (f64, f64), size: f64, text: &str) {
        let (x, y) = (number(at.0), number(at.1));
        let _ = writeln!(
            self.body,
            "<text class=\"ink\" transform=\"translate({x} {y}) rotate(-90)\" font-size=\"{size}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            escaped(text)
        );
    }

    /// A frame filled with slanting lines: here something is missing.
    pub fn hatched(&mut self, frame: Frame) {
        let Frame { left, top, width, height } = frame;
        let mut path = String::new();
        // Lines x + y = s, from the lower left end of each to its upper right one.
        let mut s = 8.0;
        while s < width + height {
            let (x0, x1) = ((s - height).max(0.0), s.min(width));
            let [a, b, c, d] = [left + x0, top + s - x0, left + x1, top + s - x1].map(number);
            let _ = write!(path, "M{a} {b}L{c} {d}");
            s += 8.0;
        }
        let [x, y, w, h] = [left, top, width, height].map(number);
        self.put(&format!(
            "<path class=\"grid\" d=\"{path}\" stroke=\"#e4e4e4\" stroke-width=\"1.2\" fill=\"none\"/>"
        ));
        self.put(&format!(
            "<rect class=\"rule\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" stroke=\"#222222\" stroke-width=\"0.6\" fill=\"none\"/>"
        ));
    }

    /// Lines of text on paper of their own, over what is below; `at` is the middle of the first.
    pub fn label(&mut self, at: (f64, f64), size: f64, lines: &[String]) {
        let widest = lines.iter().map(|line| width_of(line, size)).fold(0.0, f64::max);
        let tall = 1.5 * size * lines.len() as f64;
        let [x, y, w, h] =
            [at.0 - widest / 2.0 - 4.0, at.1 - size - 3.0, widest + 8.0, tall + 4.0].map(number);
        self.put(&format!(
            "<rect class=\"paper\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>"
        ));
        for (k, line) in lines.iter().enumerate() {
            self.text((at.0, at.1 + 1.5 * size * k as f64), size, Anchor::Middle, line);
        }
    }

    /// A raw element.
    fn put(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// The picture as a file of its own.
    pub fn svg(&self) -> String {
        let (w, h) = (number(self.width), number(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}pt\" height=\"{h}pt\" viewBox=\"0 0 {w} {h}\" role=\"img\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n\
             <title>{}</title>\n<rect class=\"paper\" width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escaped(&self.title),
            self.body
        )
    }

    /// The picture to stand in a page: its text as large as the page's where there is room, and never so small that
    /// it cannot be read (a narrow page scrolls it). Names inside (clips) begin with `prefix`, so that
    /// pictures on one page do not take each other's.
    pub fn inline(&self, prefix: &str) -> String {
        let (w, h) = (number(self.width), number(self.height));
        let (most, least) = (number((self.width * 1.6).round()), number((self.width * 1.1).round()));
        let style = format!("style=\"width: {most}px; max-width: 100%; min-width: {least}px\" ");
        let text = self.svg().replacen(&format!("width=\"{w}pt\" height=\"{h}pt\" "), &style, 1);
        text.replace("id=\"clip", &format!("id=\"{prefix}-clip"))
            .replace("url(#clip", &format!("url(#{prefix}-clip"))
    }
}

/// A coordinate: two decimals are a hundredth of a point.
fn number(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// Text as SVG and HTML want it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How wide a text is about, in points: digits and small letters of the font are 0.6 of its size.
fn width_of(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_colours_are_those_of_viridis() {
        assert_eq!((viridis(0.0).as_str(), viridis(1.0).as_str()), ("#440154", "#fde725"));
        assert_eq!(viridis(f64::NAN.max(0.5)), "#21908d");
    }

    #[test]
    fn a_text_cannot_break_the_picture() {
        let mut picture = Picture::new(10.0, 20.0, "a < b");
        picture.text((1.0, 2.5), 8.0, Anchor::Middle, "x & \"y\" <z>");
        let svg = picture.svg();
        assert!(
            svg.contains("<title>a &lt; b</title>") && svg.contains("x &amp; &quot;y&quot; &lt;z&gt;"),
            "{svg}"
        );
        assert!(svg.contains("x=\"1\" y=\"2.5\""), "{svg}");
    }
}
