// swift-tools-version: 6.2
import PackageDescription

// A package of its own: who depends on AsyncUV builds nothing of this, and it is built with a sanitizer (scripts/fuzz).
//
// A new target is a folder Sources/FuzzX, a line below, and some files in Corpus/FuzzX for a start.
let targets: [String: [Target.Dependency]] = [
    "FuzzAddresses": [.product(name: "AsyncUV", package: "AsyncUV")],
    "FuzzDNSMessages": ["FuzzedDNSMessages"],
]

let package = Package(
    name: "Fuzz",
    products: targets.keys.sorted().map { .executable(name: $0, targets: [$0]) },
    dependencies: [.package(name: "AsyncUV", path: "..")],
    targets: [
        .target(name: "FuzzDriver"),
        .target(name: "FuzzSupport", dependencies: ["FuzzDriver"]),
        // A link to the folder of the example, whose codec is no product of the package. Under another name: a module of that name is in the package as well.
        .target(name: "FuzzedDNSMessages"),
    ]
        + targets.sorted { $0.key < $1.key }.map { name, dependencies in
            .executableTarget(name: name, dependencies: ["FuzzSupport"] + dependencies)
        }
)
