#pragma once
// placeholder: written by the metrics work
