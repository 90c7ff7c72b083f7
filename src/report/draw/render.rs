//! PNG and PDF out of a picture's SVG. The only file that names the packages which do this.

use std::sync::Arc;

use krilla_svg::{SurfaceExt, SvgSettings};
use resvg::{tiny_skia, usvg};

use crate::report::draw::Picture;

/// Dots per inch of a PNG.
const DPI: f32 = 300.0;

/// Why a picture cannot be turned into another format.
#[derive(Debug, thiserror::Error)]
#[error("the picture `{picture}` cannot be drawn: {why}")]
pub struct RenderError {
    picture: String,
    why: String,
}

fn tree(picture: &Picture) -> Result<usvg::Tree, RenderError> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".into(),
        ..usvg::Options::default()
    };
    usvg::Tree::from_str(&picture.svg(), &options).map_err(|e| wrong(picture, e))
}

fn wrong(picture: &Picture, why: impl ToString) -> RenderError {
    RenderError { picture: picture.title.clone(), why: why.to_string() }
}

/// 300 dots per inch.
///
/// # Errors
/// A picture too large for memory.
pub fn png(picture: &Picture) -> Result<Vec<u8>, RenderError> {
    let tree = tree(picture)?;
    let size = tree.size();
    // usvg counts in CSS pixels, 96 to the inch.
    let zoom = DPI / 96.0;
    let (w, h) = ((size.width() * zoom).round() as u32, (size.height() * zoom).round() as u32);
    let mut map = tiny_skia::Pixmap::new(w, h).ok_or_else(|| wrong(picture, format!("{w} x {h} dots")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(zoom, zoom), &mut map.as_mut());
    map.encode_png().map_err(|e| wrong(picture, e))
}

/// A page as large as the picture; text stays text.
///
/// # Errors
/// A picture that has no size, or that the writer refuses.
pub fn pdf(picture: &Picture) -> Result<Vec<u8>, RenderError> {
    let tree = tree(picture)?;
    let (w, h) = (picture.width as f32, picture.height as f32);
    let size = krilla::geom::Size::from_wh(w, h).ok_or_else(|| wrong(picture, "it has no size"))?;
    let settings =
        krilla::page::PageSettings::from_wh(w, h).ok_or_else(|| wrong(picture, "it has no size"))?;
    let mut document = krilla::Document::new();
    let mut page = document.start_page_with(settings);
    let mut surface = page.surface();
    surface.draw_svg(&tree, size, SvgSettings::default());
    surface.finish();
    page.finish();
    document.finish().map_err(|e| wrong(picture, format!("{e:?}")))
}
