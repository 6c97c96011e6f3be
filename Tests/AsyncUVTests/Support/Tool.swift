import Foundation

/// A program of the system, as a peer that is not ours.
final class Tool: @unchecked Sendable {
    // Sendable: used by one thread at a time, that of the test's loop.
    private let process = Process()
    private let unread = Pipe()
    private let outputPath: String

    static func exists(_ name: String) -> Bool { FileManager.default.isExecutableFile(atPath: "/usr/bin/\(name)") }

    /// - Parameters:
    ///   - input: a file to read from.
    ///   - output: a folder for a file with what it prints; nil for nowhere.
    ///   - isRead: false if nobody takes what it prints, so that it takes no more from its peer.
    convenience init(_ name: String, _ arguments: String..., input: String, output: URL? = nil, isRead: Bool = true) throws {
        try self.init(name, arguments: arguments, input: input, output: output, isRead: isRead)
    }

    init(_ name: String, arguments: [String], input: String, output: URL? = nil, isRead: Bool = true) throws {
        outputPath = output?.appendingPathComponent(UUID().uuidString).path ?? "/dev/null"
        process.executableURL = URL(fileURLWithPath: "/usr/bin/\(name)")
        process.arguments = arguments
        process.standardInput = FileHandle(forReadingAtPath: input)
        if isRead {
            if output != nil { try Data().write(to: URL(fileURLWithPath: outputPath)) }
            process.standardOutput = FileHandle(forWritingAtPath: outputPath)
        } else {
            process.standardOutput = unread
        }
        try process.run()
    }

    var isRunning: Bool { process.isRunning }

    /// How it ended; waits for that. Foundation lets go of a process only when somebody has waited for it.
    func end() -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }

    func received() throws -> Data {
        // Data(contentsOf:) loses the buffer that it reads an empty file into.
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: outputPath))
        defer { file.closeFile() }
        return try file.readToEnd() ?? Data()
    }

    /// By SIGKILL: its connections are closed by the system.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
