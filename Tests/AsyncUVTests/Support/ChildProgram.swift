import Foundation
import Testing

/// A program of this package in a process of its own, for what a test cannot do to itself.
final class ChildProgram: @unchecked Sendable {
    // Sendable: used by one thread at a time, the one that the test's blocking part runs on.
    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()
    private var unread = Data()

    /// - Parameters:
    ///   - name: an executable that was built with the tests.
    ///   - descriptors: so many may be open in it.
    convenience init(_ name: String, _ arguments: String..., descriptors: Int? = nil) throws {
        try self.init(name, arguments: arguments, descriptors: descriptors)
    }

    init(_ name: String, arguments: [String], descriptors: Int? = nil) throws {
        let program = try ChildProgram.path(name)
        // A test run in the background has SIGINT ignored, and children inherit that.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let limit = descriptors.map { ["prlimit", "--nofile=\($0)"] } ?? []
        process.arguments = ["--default-signal=INT,TERM,PIPE"] + limit + [program] + arguments
        process.standardOutput = output
        process.standardError = errors
        try process.run()
    }

    /// A shell that runs `script`, in which `"$0"` is the program.
    init(_ name: String, shell script: String) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["--default-signal=INT,TERM,PIPE", "sh", "-c", script, try ChildProgram.path(name)]
        process.standardOutput = output
        process.standardError = errors
        try process.run()
    }

    /// Where an executable is that was built with the tests.
    static func path(_ name: String) throws -> String {
        let folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        let program = folder.appendingPathComponent(name).path
        try #require(FileManager.default.isExecutableFile(atPath: program), "no executable \(program)")
        return program
    }

    /// The next line of its standard output; nil at the end.
    func line() -> String? {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                defer { unread.removeSubrange(...end) }
                return String(decoding: unread[..<end], as: UTF8.self)
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { return nil }
            unread.append(more)
        }
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// How many descriptors it has open.
    var openDescriptors: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd").count) ?? 0
    }

    /// The processor time that it has used, in hundredths of a second.
    var processorTime: Int {
        guard let status = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8) else { return 0 }
        // Behind the name, which may contain anything: the 12th and 13th field are user and system time.
        let fields = status[(status.lastIndex(of: ")") ?? status.startIndex)...].split(separator: " ")
        return fields.count > 13 ? (Int(fields[12]) ?? 0) + (Int(fields[13]) ?? 0) : 0
    }

    /// The kernel holds the signal for it, not yet delivered.
    func hasPending(_ signal: Int32) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8) else { return false }
        for line in status.split(separator: "\n") where line.hasPrefix("ShdPnd:") || line.hasPrefix("SigPnd:") {
            let bits = UInt64(line.split(separator: "\t").last ?? "0", radix: 16) ?? 0
            if bits & (1 << UInt64(signal - 1)) != 0 { return true }
        }
        return false
    }

    /// What is left of both outputs, and how it ended: a status, or minus the signal that ended it.
    func end() -> (output: [String], errors: String, status: Int32) {
        var lines: [String] = []
        while let line = line() { lines.append(line) }
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let status = process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
        return (lines, text, status)
    }
}
