//! Texts with coordinates and their expected rest, and texts that must not change.

use super::*;

/// Returns the rest of the text, with the spaces of the edits joined.
fn left(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let changed = clean(&mut bytes);
    assert_eq!(changed, bytes != text.as_bytes(), "{text}");
    assert_eq!(bytes.len(), text.len());
    assert!(!clean(&mut bytes.clone()), "a second pass changes {:?}", String::from_utf8_lossy(&bytes));
    let text = String::from_utf8(bytes).expect("still UTF-8");
    text.split([' ']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn coordinates_are_removed_and_the_text_around_them_stays() {
    for (text, expected) in [
        ("GPSLatitude=47.1112 GPSLongitude=8.2223", ""),
        ("FrameID: 590 \r\nLatitude: 43.6 \r\nLongitude: -85.4\r\nok", "FrameID: 590 \r\n \r\n \r\nok"),
        ("Seen at 41°59'12.3\"N 12°20'45\"E in June", "Seen at in June"),
        ("Seen at 41.98N, 12.34E in June", "Seen at in June"),
        ("Seen at N 41° 59.205' E 12° 20.750', lovely", "Seen at , lovely"),
        ("41 deg 59' 12.30\" N, 12 deg 20' 45.00\" E", ""),
        ("41.9812° 12.3412°", ""),
        ("The point 41.981° N is near", "The point is near"),
        ("The point 41°59' N is near", "The point is near"),
        ("41.98° N and then 12.34° E", "and then"),
        ("Lat. 41.98 Lon. 12.34", ""),
        ("Lat. 41.98, Long. 12.34, Alt. 471 m", ", , m"),
        ("Lat.: 41.98", ""),
        ("LAT.=41.98;LNG.=12.34", ";"),
        ("Coord. 41.98123, 12.34123 x", "x"),
        ("Lat: 41.9 Lon: 12.3", ""),
        ("Lat: 41 Lon: 12", ""),
        ("lat: 41.9, lng: 5.25", ","),
        ("lon 12.3 lat 41.9", ""),
        ("lng: 12.345 x", "x"),
        ("lat: 41.9 N", ""),
        ("Lat/Long: 41.98, 12.34 x", "Lat/ x"),
        ("Lat, Lon = 41.9; 12.3", "Lat,"),
        ("Latitude / Longitude: 41.98/12.34 x", "Latitude / x"),
        ("geo:lat=41.98", ""),
        ("geo:lon=12.3", ""),
        ("geotagged, geo:lat=41, geo:long=12.34", "geotagged, ,"),
        ("geo_lng=12", ""),
        ("{\"lng\":5.25}", "{\"lng\":null}"),
        ("position 41.9812, 12.3412", ""),
        ("Location: 41.98123, 12.34123, 471.1 m", ", 471.1 m"),
        ("location: 112.98123, 12.34123", ""),
        ("coordinates 41.981, 12.341 in Rome", "in Rome"),
        ("GPS: 0.512, 0.498", ""),
        ("geolocation: 41.981, 12.341", ""),
        ("112.3412, 41.9812", ""),
        ("-0.1278, 51.5074", ""),
        ("0.12781, 0.50741", ""),
        ("\n 41.98123, 12.34123 \n\0", "\n \n\0"),
        ("N 41.98 E 12.34", ""),
        ("N 5.251 W 8.751", ""),
        ("N5.25 W8.75", ""),
        ("Lat 41.98, Long 12.34, Altitude 471 m", ", , m"),
        ("lat=41.98;lon=12.34;iso=100", "; ;iso=100"),
        ("{\"lat\":43.612,\"lng\":-85.412,\"n\":1}", "{\"lat\":null ,\"lng\":null ,\"n\":1}"),
        ("{\"latitude\": \"43.6\", \"n\": 1}", "{\"latitude\": \" \", \"n\": 1}"),
        ("{\"lat\":43}", "{\"lat\":\"\"}"),
        ("{\"lat\":4}", "{\"lat\":0}"),
        ("{\"coordinates\":[12.34123, 41.98123]}", "{\"coordinates\":[ ]}"),
        ("{\"coordinates\":[12.34123,41.98123]}", "{\"coordinates\":[ ]}"),
        ("{\\\"lat\\\":43.612}", "{\\\"lat\\\":null }"),
        ("see geo:41.98,12.34;u=5 there", "see there"),
        ("see https://www.google.com/maps/@41.98,12.34,15z.", "see ."),
        ("GPS: 41.98123, 12.34123 and more", "and more"),
        ("GPS: 41.98123,12.34123 and more", "and more"),
        ("41.98123,12.34123", ""),
        ("Coordinates 41.98123 12.34123", ""),
        ("Longitude: 12 deg 20' 45\" E; Latitude: 41/1 59/1 1230/100 x", "; x"),
        ("exif:GPSLatitude=41,59.2N x", "exif: x"),
        ("GPSAreaInformation=Via Appia 3\nnext", "\nnext"),
        ("GPSLatitudeRef=N Make=Kamera", "Make=Kamera"),
        ("+41.9812+012.3412+471.1/", ""),
        ("41.98123, 12.34123", ""),
        ("(41.98123 12.34123)", "( )"),
        ("Latitude = S 33 51 12 / note", "/ note"),
        ("GPSPosition: 41 deg 59' 12.30\" N, 12 deg 20' 45.00\" E", ""),
    ] {
        assert_eq!(left(text), expected, "{text}");
    }
}

#[test]
fn texts_without_a_location_are_unchanged() {
    for text in [
        "1920x1080, 16:9, 29.97 fps",
        "$12.99, $15.49 and 1,234.56",
        "2024-05-06 07:08:09.123+02:00",
        "version 1.23.4567, build 89.1234",
        "f/2.8 1/250s ISO 100 50mm -0.33 EV",
        "25°C, 77°F, rotated by 45° and 90°",
        "turned 12.5° left, then 13.75° right",
        "Exposure latitude: 13.5 stops; film latitude 5",
        "N95 mask, S 1200, E 6.5, W 45",
        "9.81 N of force, 3.5 W of power",
        "a 12 N spring",
        "Long: 12.34 cm, wide: 5.67 cm",
        "long 12.345 short",
        "Plat: 41.98, Salon 12.34",
        "Lateral 41.98 Latency: 12.34 ms",
        "GPS: on, GPS off, GPSEnabled: yes, GPS-tagged 2024",
        "location: studio 3, position: 2, coordinates: 10, 20",
        "crop position 0.5, 0.5",
        "position 1.234, 5.678",
        "Camera position 1.234, 5.678",
        "position: 0.500, 0.500, 0.500",
        "position: 1.2345, 5.6789, 0.1234",
        "Location: 0.1234, 0.5678",
        "position 1.2345, 5.6789 mm",
        "position: 45.5°, 30.2°",
        "location 3.141, 2.718",
        "location: 141.5926, 171.8281",
        "coordinates 640.125, 120.456 px",
        "coordinates 64.125, 120.456 px",
        "coordinates 64.125, 12.456%",
        "coordinates: 0.125, 0.456",
        "coordinates: 1.125, 2.456, 3.789",
        "0.8750, 0.1250",
        "(1.0000 0.5000)",
        "-0.2500, 0.7500",
        "lat: 45.5 lb",
        "lat: 45.25 lb, long press",
        "lat. 45.5",
        "lng: 5.25",
        "lon. 5.25 cm",
        "21.55°S",
        "at 21.55° S of it",
        "N 5.25 W 8.75",
        "9.81 N, 3.50 W",
        "0.1234, 0.5678, 0.9123",
        "cruising altitude: 10,000 m",
        "https://example.org/a/1.2.3?x=4.5",
        "ratio 1.3333 by 1.7777",
        "call +49 30 1234567 or +1-202-555-0123",
        "10.0.0.1, 192.168.178.12",
        "12:30 W 14:45 E",
        "ISBN 978-3-16-148410-0",
        "Canon EF 24-105mm f/4L IS USM",
        "#ff8800 rgb(12.34, 56.78, 90.12)",
        "{\"width\":41.98,\"height\":12.34,\"alt\":\"a cat\"}",
        "a+b/c+12/AbCd+41/EfGh==",
        "",
        "-",
        "N",
    ] {
        let mut bytes = text.as_bytes().to_vec();
        assert!(!clean(&mut bytes), "{text} became {}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes, text.as_bytes());
    }
}

#[test]
fn every_text_settles() {
    let parts = [
        "41.98", "N", " ", "lat", ":", "12°", "\"", "'", ",", "gps", "long", "E", "0", "=", "/", "&quot;", "41", "[", "+", "geo:",
    ];
    let mut seed = 5u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut unsettled = 0;
    for _ in 0..20_000 {
        let mut text: Vec<u8> = (0..random(14)).flat_map(|_| parts[random(parts.len())].bytes()).collect();
        let passes = (0..9).take_while(|_| clean(&mut text)).count();
        unsettled += usize::from(passes > 3);
    }
    assert_eq!(unsettled, 0, "texts that need too many passes");
}
