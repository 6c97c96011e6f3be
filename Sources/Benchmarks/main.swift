// Workloads that are measured, one JSON line each: `bench WORKLOAD [A [B]]`; `bench help` lists them.
import Foundation

let help = """
    usage: bench WORKLOAD [NUMBER …]: runs it, and prints one line of JSON: nanoseconds an operation and more
    Numbers in brackets may be left out.

    With the same names and numbers in other programs:
    \(listed(Workload.shared))

    Of our own:
    \(listed(Workload.own))

    Not yet: reading files and starting processes, which AsyncUV cannot do yet.
    """

func listed(_ workloads: [Workload]) -> String {
    workloads.map { "  " + $0.usage.padding(toLength: 44, withPad: " ", startingAt: 0) + $0.about }.joined(separator: "\n")
}

func end(_ message: String, status: Int32) -> Never {
    // There is nobody left to tell if that fails.
    try? FileHandle.standardError.write(contentsOf: Data("bench: \(message)\n".utf8))
    exit(status)
}

/// The numbers of a command line, the usual ones in place of those left out. What is wrong ends the program with status 64, as sysexits(3) has it.
func numbers(_ texts: [String], for workload: Workload) -> [Int] {
    if texts.count > workload.arguments.count { end("too many numbers; usage: bench \(workload.usage)", status: 64) }
    return workload.arguments.enumerated().map { index, argument in
        guard index < texts.count else {
            if let usual = argument.usual { return usual }
            end("\(argument.name) is missing; usage: bench \(workload.usage)", status: 64)
        }
        guard let number = Int(texts[index]), argument.range.contains(number) else {
            end(
                "\(argument.name) '\(texts[index])' is not a whole number from \(argument.range.lowerBound) to \(argument.range.upperBound); usage: bench \(workload.usage)",
                status: 64)
        }
        return number
    }
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard let name = arguments.first else { end("no workload is named\n\(help)", status: 64) }
if ["help", "--help", "-h"].contains(name) {
    print(help)
    exit(0)
}
guard let workload = (Workload.shared + Workload.own).first(where: { $0.name == name }) else {
    end("there is no workload '\(name)'; 'bench help' lists them", status: 64)
}
let values = numbers(Array(arguments.dropFirst()), for: workload)
do {
    try workload.run(values)
} catch {
    end("\(name): \(error)", status: 1)
}
