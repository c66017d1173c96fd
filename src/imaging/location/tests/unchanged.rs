//! A file without a location stays the same byte for byte, whatever other metadata it has. A file with a location loses nothing
//! else.

use super::build::{
    Order, PLACE, TiffBuilder, app1, chunk, dataset, gif, jpeg, mp4_box, png, raw_profile, resource, riff, riff_chunk, segment,
    xmp, zlib,
};
use super::c2pa_build::{app11, json};
use super::remove;
use crate::model::image::Format;

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn some_of<T: Clone>(&mut self, list: &[T]) -> Vec<T> {
        list.iter().filter(|_| self.below(2) == 0).cloned().collect()
    }
}

/// Texts that people and programs write and that are not locations.
const TEXTS: [&str; 30] = [
    "A title",
    "Sunset over the city, state of the art",
    "1920x1080 at 29.97 fps, f/2.8, 1/250s, ISO 100",
    "25°C, rotated by 45° and 12.5°",
    "2024-05-06 07:08:09+02:00",
    "v1.23.4567, $12.99, 10.0.0.1",
    "Exposure latitude: 13.5 stops",
    "GPS off, no location",
    "Größe, 世界, ñ",
    "https://example.org/a?b=1.5&c=2",
    "{\"prompt\": {\"seed\": 41, \"region\": [0.1234, 0.5678]}}",
    "Lateral 41.98, Latency 12.34",
    "9.81 N and 3.5 W",
    "Ann Example, 1 Main Street, Markerville",
    "&amp; &lt;",
    "",
    "0.123456 0.234567 0.345678",
    "call +1-202-555-0123",
    "Long: 12.34 cm",
    "S/N 12345678, E 6.5",
    "Camera position 1.234, 5.678",
    "position: 0.500, 0.500, 0.500",
    "coordinates 640.125, 120.456 px",
    "location 3.141, 2.718",
    "see https://example.com/path/1.000/2.000",
    "0.8750, 0.1250",
    "lat: 45.5 lb",
    "lng: 5.25",
    "21.55°S",
    "N 5.25 W 8.75",
];

fn exif(random: &mut Random) -> Vec<u8> {
    let order = random.one_of(&[Order::Big, Order::Little]);
    let mut builder = TiffBuilder::new(order);
    let text = |random: &mut Random| random.one_of(&TEXTS);
    let comment = [&b"ASCII\0\0\0"[..], text(random).as_bytes()].concat();
    let wide: Vec<u8> = text(random).encode_utf16().flat_map(u16::to_le_bytes).chain([0, 0, 0, 0]).collect();
    let unicode = [&b"UNICODE\0"[..], &wide].concat();
    let note = random.one_of(&[
        b"MAKER\0note \x88\x25 and more".to_vec(),
        b"Panasonic\0\0\0\0\0 and more".to_vec(),
        b"Nikon\0\x02\x10\0\0MM\0*\0\0\0\x08\0\0".to_vec(),
        vec![0xee; 300],
    ]);
    let exif_entries = [
        builder.ascii(0x9003, "2024:05:06 07:08:09"),
        (0x9286, 7, comment.len() as u32, comment),
        (0x9286, 7, unicode.len() as u32, unicode),
        (0x927c, 7, note.len() as u32, note),
        builder.rationals(0x829d, &[(28, 10)]),
        (0x8769, 2, 154, vec![b'4'; 154]),
    ];
    let exif_entries = random.some_of(&exif_entries);
    let exif = builder.ifd(&exif_entries, 0);
    let packet = xmp_packet(random);
    let resources = image_resources(random);
    let entries = [
        builder.ascii(0x010e, text(random)),
        builder.ascii(0x010f, "Kamera"),
        (0x0112, 3, 1, builder.u16(6)),
        builder.ascii(0x8298, text(random)),
        (0x02bc, 1, packet.len() as u32, packet),
        (0x8649, 1, resources.len() as u32, resources),
        (0x9c9c, 1, wide.len() as u32, wide.clone()),
        (0x9c9e, 1, wide.len() as u32, wide),
        builder.ascii(0x013b, text(random)),
        builder.long(0x8769, exif),
        builder.long(0x0201, random.below(4000) as u32),
    ];
    let entries = random.some_of(&entries);
    let first = builder.ifd(&entries, 0);
    builder.finish(first)
}

fn xmp_packet(random: &mut Random) -> Vec<u8> {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let names = [
        "photoshop:Headline",
        "dc:source",
        "xmp:CreatorTool",
        "crs:ToneCurve",
        "exif:ISOSpeedLatitudeyyy",
        "Iptc4xmpCore:CiAdrCity",
        "a:LatencyMs",
        "a:AltText",
        "a:LongExposure",
        "a:Lateral",
        "Iptc4xmpExt:Event",
        "mwg-rs:Regions",
        "xmpDM:location",
        "drone-dji:GimbalYawDegree",
    ];
    let used = random.some_of(&names);
    let (attributes, elements) = used.split_at(used.len() / 2);
    let attributes: String = attributes.iter().map(|name| format!("{name}=\"{}\" ", escaped(random.one_of(&TEXTS)))).collect();
    let elements: String = elements.iter().map(|name| format!("<{name}>{}</{name}>\n", escaped(random.one_of(&TEXTS)))).collect();
    let packet = xmp(&attributes, &elements);
    match random.below(6) {
        0 => packet.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        1 => packet.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        2 => [packet, "\n </rdf:Description></rdf:RDF></x:xmpmeta>".into()].concat().into_bytes(),
        3 => packet.as_bytes()[..packet.len() - random.below(40)].to_vec(),
        _ => packet.into_bytes(),
    }
}

fn iptc(random: &mut Random) -> Vec<u8> {
    let numbers = random.some_of(&[5u8, 25, 40, 80, 105, 116, 120]);
    let mut datasets: Vec<_> = numbers.into_iter().map(|number| dataset(2, number, random.one_of(&TEXTS))).collect();
    datasets.push(random.one_of(&[&b""[..], b"\0\0", b"junk", b"\x1c\x02\x78\0\x20cut", b"\x1c\x02"]).to_vec());
    datasets.concat()
}

fn image_resources(random: &mut Random) -> Vec<u8> {
    let thumbnail = [&[0; 28][..], &jpeg(&[segment(0xfe, b"a thumbnail")])].concat();
    let resources =
        [resource(0x03ed, &[0, 72, 0, 0]), resource(0x0404, &iptc(random)), resource(0x040c, &thumbnail), resource(0x040a, &[1])];
    random.some_of(&resources).concat()
}

fn trailer(random: &mut Random) -> Vec<u8> {
    let comment = segment(0xfe, random.one_of(&TEXTS).as_bytes());
    let second = jpeg(&[segment(0xe0, b"JFIF\0"), comment]);
    let video =
        [mp4_box(b"ftyp", b"mp42"), mp4_box(b"mdat", b"\xff\xd8\xff\xfe\0\x20 Latitude: 41.98 loci"), mp4_box(b"moov", b"")]
            .concat();
    let parts = [second, video, b"trailing \x1c\x02\x5a\0\x01x".to_vec(), b"MCC_Data".to_vec(), vec![0xff; 9]];
    random.some_of(&parts).concat()
}

fn jpeg_file(random: &mut Random) -> Vec<u8> {
    let header = b"http://ns.adobe.com/xap/1.0/\0";
    let segments = [
        // Not after XMP, because a truncated packet continues in stray bytes.
        [segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"), b"\0stray bytes".to_vec()].concat(),
        app1("Exif\0\0", &exif(random)),
        app1("Exif\0\0", b"neither II nor MM"),
        segment(0xe1, &[&header[..], &xmp_packet(random)].concat()),
        segment(0xed, &[b"Photoshop 3.0\0", &image_resources(random)[..]].concat()),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01 Location GPS"),
        segment(0xe6, b"GoPro\0DEVC\0\x01\0\x0cACCLs\x06\0\x01keepit\0\0"),
        segment(0xe1, b"FLIR\0\x01\0\0FFF\0nothing"),
        segment(0xe5, b"RMETA\0MM\0\0"),
        segment(0xe9, b"Media Jukebox\0<MJMD><Name>A title</Name></MJMD>"),
        app11(&json("org.example", "{\"dc:title\":\"x\"}"), 1000),
        segment(0xfe, random.one_of(&TEXTS).as_bytes()),
    ];
    [jpeg(&random.some_of(&segments)), trailer(random)].concat()
}

fn png_file(random: &mut Random) -> Vec<u8> {
    let text = |keyword: &str, text: &[u8]| chunk(b"tEXt", &[keyword.as_bytes(), &[0], text].concat());
    let keywords = ["Title", "Comment", "Software", "parameters", "workflow", "Creation Time", "exif:Make", "IPTC:Destination"];
    let (keyword, words) = (random.one_of(&keywords), random.one_of(&TEXTS));
    let packed = [b"XML:com.adobe.xmp\0\x01\0\0\0", &zlib(&xmp_packet(random))[..]].concat();
    let chunks = [
        chunk(b"tIME", &[7, 232, 5, 6, 7, 8, 9]),
        chunk(b"eXIf", &exif(random)),
        chunk(b"iTXt", &packed),
        text(keyword, words.as_bytes()),
        text("Description", random.one_of(&TEXTS).as_bytes()),
        chunk(b"zTXt", &[b"Comment\0\0", &zlib(random.one_of(&TEXTS).as_bytes())[..]].concat()),
        text("Raw profile type iptc", &raw_profile("iptc", &image_resources(random))),
        chunk(b"meTa", b"<meta><title>A title</title></meta>"),
    ];
    png(&random.some_of(&chunks), &trailer(random))
}

fn gif_file(random: &mut Random) -> Vec<u8> {
    let magic: Vec<u8> = std::iter::once(1).chain((0..=255).rev()).chain([0]).collect();
    let comment = random.one_of(&TEXTS);
    // Zeros would end the extension, so the packet is in UTF-8.
    let packet = xmp(&format!("xmp:Label=\"{}\"", random.below(100)), "");
    let extensions = [
        [b"\x21\xff\x0bXMP DataXMP", packet.as_bytes(), &magic].concat(),
        [&[0x21, 0xfe, comment.len() as u8][..], comment.as_bytes(), &[0]].concat(),
        b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0".to_vec(),
    ];
    let extensions: Vec<Vec<u8>> = random.some_of(&extensions).into_iter().filter(|extension| extension[2] != 0).collect();
    [gif(&extensions), trailer(random)].concat()
}

fn webp_file(random: &mut Random) -> Vec<u8> {
    let chunks = [riff_chunk(b"ICCP", b"GPS"), riff_chunk(b"EXIF", &exif(random)), riff_chunk(b"XMP ", &xmp_packet(random))];
    let header = riff_chunk(b"VP8X", &[12, 0, 0, 0, 2, 0, 0, 1, 0, 0]);
    [riff(&[vec![header, riff_chunk(b"VP8L", b"data")], random.some_of(&chunks)].concat()), trailer(random)].concat()
}

fn file(random: &mut Random) -> (Vec<u8>, Format) {
    match random.below(4) {
        0 => (jpeg_file(random), Format::Jpeg),
        1 => (png_file(random), Format::Png),
        2 => (gif_file(random), Format::Gif),
        _ => (webp_file(random), Format::Webp),
    }
}

#[test]
fn a_file_without_a_location_is_unchanged() {
    let mut random = Random(1);
    for round in 0..4000 {
        let (file, format) = file(&mut random);
        if let Some(cleaned) = remove(&file, format) {
            let at = cleaned.iter().zip(&file).position(|(new, old)| new != old).unwrap_or(0);
            let around =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())]).into_owned();
            panic!("round {round}, {format:?}: {:?} became {:?}", around(&file), around(&cleaned));
        }
    }
}

#[test]
fn everything_but_the_location_survives_an_edit() {
    let mut random = Random(2);
    for _ in 0..1000 {
        let (file, _) = (jpeg_file(&mut random), ());
        // After the start marker, so that nothing else is changed or moved.
        let place = [
            segment(0xfe, format!("Latitude: 41.98 {PLACE}").as_bytes()),
            super::build::exif_segment(random.one_of(&[Order::Big, Order::Little])),
            app1("http://ns.adobe.com/xap/1.0/\0", &super::build::place_xmp()),
        ]
        .concat();
        let with = [&file[..2], &place, &file[2..]].concat();
        let cleaned = remove(&with, Format::Jpeg).expect("a location was removed");
        assert_eq!(cleaned.len(), with.len());
        assert_eq!(cleaned[2 + place.len()..], file[2..]);
    }
}
