#include <iostream>

#include "app/run.hpp"
#include "cli/command_line.hpp"

int main(int argc, char** argv)
{
    namespace cli = buildkit_lb::cli;
    const cli::surroundings with{.out = std::cout, .err = std::cerr, .run = buildkit_lb::app::run};
    return cli::execute({argv + 1, argv + argc}, with);
}
