// Runs conformance programs, one JSON object a line on standard input, and writes the trace of each as a line on standard output.
import ConformanceKit
import Foundation

let usage = """
    usage: conformance [--isolated] < PROGRAMS > TRACES
           conformance --compare PROGRAMS < TRACES

      --isolated   isolates the tasks of a program to a global actor on its loop
      --compare    compares traces with what the programs in the file PROGRAMS expect; exit status 1 if any differs

    """

func run(isolated: Bool) throws {
    let programs = try Program.read(FileHandle.standardInput.readToEnd() ?? Data(), traces: false)
    var output: [UInt8] = []
    for program in programs {
        try Driver.run(program, isolated: isolated).write(id: program.id, to: &output)
    }
    try FileHandle.standardOutput.write(contentsOf: Data(output))
}

func compare(with path: String) throws -> Bool {
    // By a handle: `Data(contentsOf:)` refuses pipes.
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    let programs = try Program.read(file.readToEnd() ?? Data(), traces: true)
    var comparison = Comparison()
    try comparison.add(programs, actual: FileHandle.standardInput.readToEnd() ?? Data())
    for difference in comparison.differences { print("differs: \(difference)") }
    print(comparison.summary)
    return comparison.isPerfect
}

func complain(_ message: String) {
    FileHandle.standardError.write(Data(message.utf8))
}

do {
    let arguments = CommandLine.arguments.dropFirst()
    switch (arguments.first, arguments.count) {
    case (nil, _): try run(isolated: false)
    case ("--isolated", 1): try run(isolated: true)
    case ("--compare", 2): exit(try compare(with: CommandLine.arguments[2]) ? 0 : 1)
    default:
        complain(usage)
        exit(2)
    }
} catch {
    complain("conformance: \(error)\n")
    exit(2)
}
