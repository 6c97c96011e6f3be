import Foundation

/// What one workload measured, in the form in which every program prints it that is compared with this one.
struct Measurement {
    /// How many operations; what one of them is, `bench help` says.
    var count: Int
    var seconds: Double
    /// Of all threads.
    var cpuSeconds: Double
    var extra: [(String, Double)] = []

    /// One line of JSON.
    func line(_ workload: String) -> String {
        let fields =
            [
                ("n", "\(count)"), ("wall_s", text(seconds, 4)), ("cpu_s", text(cpuSeconds, 4)),
                ("ns_per_op", text(seconds * 1e9 / Double(count), 1)), ("cpu_ns_per_op", text(cpuSeconds * 1e9 / Double(count), 1)),
            ] + extra.map { ($0.0, text($0.1, 1)) } + [("max_rss_kb", text(ThisProcess.peakMemory / 1024, 0))]
        return "{\"workload\":\"\(workload)\"" + fields.map { ",\"\($0.0)\":\($0.1)" }.joined() + "}"
    }

    private func text(_ number: Double, _ decimals: Int) -> String { String(format: "%.\(decimals)f", number) }
}

func measure(_ count: Int, _ body: () async throws -> Void) async throws -> Measurement {
    let began = ThisProcess.seconds
    let cpu = ThisProcess.cpuSeconds
    try await body()
    return Measurement(count: count, seconds: ThisProcess.seconds - began, cpuSeconds: ThisProcess.cpuSeconds - cpu)
}

/// What was done is not what should have been done: then its speed is of no interest.
struct Wrong: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
