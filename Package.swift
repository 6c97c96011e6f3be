// swift-tools-version: 6.2
import PackageDescription

/// What every target of this package is built with. Nothing here is optional: see CONTRIBUTING.md.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
    .treatWarning("StrictMemorySafety", as: .error),
]

let package = Package(
    name: "AsyncUV",
    products: [
        .library(name: "AsyncUV", targets: ["AsyncUV"]),
    ],
    targets: [
        .systemLibrary(
            name: "CLibUV",
            path: "CLibUV",
            pkgConfig: "libuv",
            providers: [.apt(["libuv1-dev"]), .brew(["libuv"])]
        ),
        // The fence: the only target that imports CLibUV. No product exports it.
        .target(name: "UVCore", dependencies: ["CLibUV"], swiftSettings: strict),
        .target(name: "AsyncUV", dependencies: ["UVCore"], swiftSettings: strict),

        .executableTarget(name: "CancelMe", dependencies: ["AsyncUV"], path: "Sources/Examples/CancelMe", swiftSettings: strict),
        // What the command lines of the daemons below have in common.
        .target(name: "ExampleSupport", dependencies: ["AsyncUV"], path: "Sources/Examples/ExampleSupport", swiftSettings: strict),
        .executableTarget(
            name: "EchoServer", dependencies: ["AsyncUV", "ExampleSupport"], path: "Sources/Examples/EchoServer", swiftSettings: strict),
        .executableTarget(name: "LineChat", dependencies: ["AsyncUV", "ExampleSupport"], path: "Sources/Examples/LineChat", swiftSettings: strict),
        .executableTarget(name: "UnixEcho", dependencies: ["AsyncUV", "ExampleSupport"], path: "Sources/Examples/UnixEcho", swiftSettings: strict),
        .executableTarget(name: "TCPProxy", dependencies: ["AsyncUV", "ExampleSupport"], path: "Sources/Examples/TCPProxy", swiftSettings: strict),
        .executableTarget(
            name: "DNSForwarder", dependencies: ["AsyncUV", "DNSMessages", "ExampleSupport"], path: "Sources/Examples/DNSForwarder", swiftSettings: strict),
        .target(name: "DNSMessages", path: "Sources/Examples/DNSMessages", swiftSettings: strict),
        .target(name: "ConformanceKit", dependencies: ["AsyncUV"], path: "Sources/Examples/ConformanceKit", swiftSettings: strict),
        .executableTarget(name: "conformance", dependencies: ["ConformanceKit"], path: "Sources/Examples/conformance", swiftSettings: strict),

        .executableTarget(name: "bench", dependencies: ["AsyncUV"], path: "Sources/Benchmarks", swiftSettings: strict),

        .testTarget(name: "UVCoreTests", dependencies: ["UVCore"], swiftSettings: strict),
        .testTarget(
            name: "AsyncUVTests",
            dependencies: [
                "AsyncUV", "UVCore", "SignalProbe", "TCPProbe", "UnixProbe", "TerminalProbe", "FaultProbe", "EchoServer", "LineChat", "TCPProxy",
                "DNSForwarder", "DNSMessages",
            ], swiftSettings: strict),
        .testTarget(name: "DNSMessagesTests", dependencies: ["DNSMessages"], swiftSettings: strict),
        .executableTarget(name: "SignalProbe", dependencies: ["AsyncUV"], path: "Tests/SignalProbe", swiftSettings: strict),
        .executableTarget(name: "TerminalProbe", dependencies: ["AsyncUV"], path: "Tests/TerminalProbe", swiftSettings: strict),
        .executableTarget(name: "UnixProbe", dependencies: ["AsyncUV", "UVCore"], path: "Tests/UnixProbe", swiftSettings: strict),
        .executableTarget(name: "FaultProbe", dependencies: ["AsyncUV"], path: "Tests/FaultProbe", swiftSettings: strict),
        .executableTarget(name: "TCPProbe", dependencies: ["AsyncUV"], path: "Tests/TCPProbe", swiftSettings: strict),
        .testTarget(
            name: "ConformanceTests", dependencies: ["ConformanceKit"], resources: [.copy("Programs")], swiftSettings: strict),
    ]
)
